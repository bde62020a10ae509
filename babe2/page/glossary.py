"""The presets in listeners' words; what is said of each setting stands where the setting is declared (config.py)."""

from __future__ import annotations

PRESETS = {
    "standard": "Standard: the best sound per second",
    "draft": "Draft: hear in moments where it goes",
    "paper": "As published: for researchers, slow, mono",
}
