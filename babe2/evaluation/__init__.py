"""Measures how good restorations are, where the original music is known."""
