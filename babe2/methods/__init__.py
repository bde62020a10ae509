"""The ways to restore: one file each. A method knows its settings and its arithmetic, but no file and no page."""
