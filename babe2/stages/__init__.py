"""Steps of a chain: sound in, sound out, and a report of what was done. A new step is a new file, and its name here.

Each is a function, too: `babe2.stages.restore(audio, sample_rate, **settings) -> (audio, report)`.
"""

from babe2.stages.align import Align
from babe2.stages.base import Bench, HubFolder, Made, Report, Stage, Staged, make
from babe2.stages.declick import Declick
from babe2.stages.dehum import Dehum
from babe2.stages.denoise import Denoise
from babe2.stages.fill import Fill
from babe2.stages.remix import Remix
from babe2.stages.restore import Restore
from babe2.stages.rumble import Rumble
from babe2.stages.separate import Separate
from babe2.stages.speed import Speed

STAGES: dict[str, type[Stage]] = {  # in the order in which they are mostly wanted
    stage.name: stage for stage in (Speed, Align, Declick, Fill, Dehum, Rumble, Denoise, Separate, Restore, Remix)
}

align, declick, fill, dehum, rumble, speed = (each.apply_to for each in (Align, Declick, Fill, Dehum, Rumble, Speed))
denoise, separate, restore = Denoise.apply_to, Separate.apply_to, Restore.apply_to

__all__ = [
    "STAGES",
    "Bench",
    "HubFolder",
    "Made",
    "Report",
    "Stage",
    "Staged",
    "align",
    "declick",
    "dehum",
    "denoise",
    "fill",
    "make",
    "restore",
    "rumble",
    "separate",
    "speed",
]
