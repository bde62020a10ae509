"""The version of babe2."""

__version__ = "0.1.0"
