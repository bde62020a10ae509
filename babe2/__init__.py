"""BABE-2: blind restoration of old music recordings with a diffusion prior and a generative equalizer."""

from babe2.analysis import analyse
from babe2.chains import Chain
from babe2.errors import Cancelled, RestorationError
from babe2.restoration import Restoration
from babe2.restorer import Restorer
from babe2.run import Step
from babe2.version import __version__

__all__ = ["Cancelled", "Chain", "Restoration", "RestorationError", "Restorer", "Step", "__version__", "analyse"]
