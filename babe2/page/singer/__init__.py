"""Bring your own singer: a visitor's recordings are heard, a checkpoint is trained further on them, and what it has
learned is used on the page, taken home or published."""
