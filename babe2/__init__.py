"""BABE-2: blind restoration of old music recordings with a diffusion prior and a generative equalizer."""

from babe2.analysis import analyse
from babe2.errors import Cancelled, RestorationError
from babe2.pipeline import Restoration, Restorer
from babe2.run import Step

__version__ = "0.1.0"
__all__ = ["Cancelled", "Restoration", "RestorationError", "Restorer", "Step", "analyse"]
