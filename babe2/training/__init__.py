"""Trains networks, in runs that can be stopped at any moment and resumed to the bit.

settings = training_settings(model)
trainer = Trainer(model, settings, new_network(model, settings.seed))
run = Run(folder, trainer, gather(places, model.sample_rate, shortest_seconds), Plan(iterations=1000))
run.begin()
run.go()
"""

from babe2.training.corpus import Corpus, gather
from babe2.training.progress import Progress
from babe2.training.run import Outcome, Plan, Run
from babe2.training.settings import TrainingSettings, training_settings, tuning_settings
from babe2.training.trainer import Trainer, new_network

__all__ = [
    "Corpus",
    "Outcome",
    "Plan",
    "Progress",
    "Run",
    "Trainer",
    "TrainingSettings",
    "gather",
    "new_network",
    "training_settings",
    "tuning_settings",
]
