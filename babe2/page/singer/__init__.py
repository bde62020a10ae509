"""Bring your own singer: recordings that a visitor gives are heard, a checkpoint is trained further on them, and what it
has learned is used on the page, taken home or published."""
