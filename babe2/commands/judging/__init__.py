"""Commands that judge how good something sounds: by the truth, by comparison, by listeners."""
