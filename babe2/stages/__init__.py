"""Steps of a chain: sound in, sound out, and a report of what was done. A new step is a new file, and its name here.

Each is a function, too: `babe2.stages.restore(audio, sample_rate, **settings) -> (audio, report)`.
"""

from babe2.stages.base import Bench, Made, Report, Stage, Staged, make
from babe2.stages.denoise import Denoise
from babe2.stages.restore import Restore

STAGES: dict[str, type[Stage]] = {stage.name: stage for stage in (Denoise, Restore)}

denoise, restore = Denoise.apply_to, Restore.apply_to

__all__ = ["STAGES", "Bench", "Made", "Report", "Stage", "Staged", "denoise", "make", "restore"]
