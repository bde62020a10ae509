"""BABE-2: blind restoration of old music recordings with a diffusion prior and a generative equalizer."""

import gc

_collecting = gc.isenabled()
gc.disable()  # what is imported stays: looking through it for garbage takes a third of the time

from babe2.analysis import analyse
from babe2.chains import Chain
from babe2.errors import Cancelled, RestorationError
from babe2.restoration import Restoration
from babe2.restorer import Restorer
from babe2.run import Step
from babe2.version import __version__

if _collecting:
    gc.enable()

__all__ = ["Cancelled", "Chain", "Restoration", "RestorationError", "Restorer", "Step", "__version__", "analyse"]
