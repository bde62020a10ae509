"""Many recordings whose truth is known, restored in many ways: all scores kept, and the ways ranked with confidence."""
