"""How good restorations are, measured where the truth is known."""
