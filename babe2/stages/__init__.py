"""Steps of a chain: sound in, sound out, and a report of what was done. A new step is a new file, and its name here.

Each is a function, too: `babe2.stages.restore(audio, sample_rate, **settings) -> (audio, report)`.
"""

from babe2.stages.align import Align
from babe2.stages.base import Bench, Made, Report, Stage, Staged, make
from babe2.stages.declick import Declick
from babe2.stages.dehum import Dehum
from babe2.stages.restore import Restore
from babe2.stages.rumble import Rumble
from babe2.stages.speed import Speed

STAGES: dict[str, type[Stage]] = {stage.name: stage for stage in (Declick, Dehum, Rumble, Align, Speed, Restore)}

declick = Declick.apply_to
dehum = Dehum.apply_to
rumble = Rumble.apply_to
align = Align.apply_to
speed = Speed.apply_to
restore = Restore.apply_to

__all__ = [
    "STAGES",
    "Bench",
    "Made",
    "Report",
    "Stage",
    "Staged",
    "align",
    "declick",
    "dehum",
    "make",
    "restore",
    "rumble",
    "speed",
]
