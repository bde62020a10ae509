"""Makes clips of music to try things on: by synthesis, or by MusicGen where it is installed."""
