"""Models of what happens to music on its way to an old recording: applied on purpose, or undone."""
