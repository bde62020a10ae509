"""Steps of a chain: sound in, sound out, and a report of what was done. A new step is a new file, and its name here."""

from babe2.stages.base import Report, Stage
from babe2.stages.restore import restore

STAGES: dict[str, Stage] = {"restore": restore}

__all__ = ["STAGES", "Report", "Stage", "restore"]
