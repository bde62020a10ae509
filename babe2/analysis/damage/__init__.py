"""Finds what is broken in a recording: clicks, drop-outs, bursts; clicks are mended, too."""
