"""Steps of a chain: sound in, sound out, and a report of what was done. A new step is a new file, and its name here.

Each is a function, too: `babe2.stages.restore(audio, sample_rate, **settings) -> (audio, report)`.
"""

from babe2.stages.base import Bench, Made, Report, Stage, Staged, make
from babe2.stages.remix import Remix
from babe2.stages.restore import Restore
from babe2.stages.separate import Separate

STAGES: dict[str, type[Stage]] = {stage.name: stage for stage in (Separate, Restore, Remix)}

separate, restore = Separate.apply_to, Restore.apply_to

__all__ = ["STAGES", "Bench", "Made", "Report", "Stage", "Staged", "make", "restore", "separate"]
