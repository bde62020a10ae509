"""Steps of a chain: sound in, sound out, and a report of what was done. A new step is a new file, and its name here.

Each is a function, too: `babe2.stages.restore(audio, sample_rate, **settings) -> (audio, report)`.
"""

from babe2.stages.align import Align
from babe2.stages.bandwidth import Bandwidth
from babe2.stages.base import Bench, HubFolder, Made, Report, Stage, Staged, make
from babe2.stages.compress import Compress
from babe2.stages.convert import Convert
from babe2.stages.declick import Declick
from babe2.stages.dehum import Dehum
from babe2.stages.denoise import Denoise
from babe2.stages.fill import Fill
from babe2.stages.finalise import Finalise
from babe2.stages.gate import Gate
from babe2.stages.remix import Remix
from babe2.stages.restore import Restore
from babe2.stages.rumble import Rumble
from babe2.stages.separate import Separate
from babe2.stages.shape import Shape
from babe2.stages.speed import Speed

RESTORING: tuple[type[Stage], ...] = (Speed, Align, Declick, Fill, Dehum, Rumble, Denoise, Separate, Restore, Remix)
MASTERING: tuple[type[Stage], ...] = (Convert, Gate, Bandwidth, Compress, Shape, Finalise)
# In the order in which they are mostly wanted.
STAGES: dict[str, type[Stage]] = {stage.name: stage for stage in (*RESTORING, *MASTERING)}

align, declick, fill, dehum, rumble, speed = (each.apply_to for each in (Align, Declick, Fill, Dehum, Rumble, Speed))
denoise, separate, restore = Denoise.apply_to, Separate.apply_to, Restore.apply_to
convert, gate, bandwidth, compress, shape, finalise = (each.apply_to for each in MASTERING)

__all__ = [
    "STAGES",
    "Bench",
    "HubFolder",
    "Made",
    "Report",
    "Stage",
    "Staged",
    "align",
    "bandwidth",
    "compress",
    "convert",
    "declick",
    "dehum",
    "denoise",
    "fill",
    "finalise",
    "gate",
    "make",
    "restore",
    "rumble",
    "separate",
    "shape",
    "speed",
]
