"""A join that is none is not heard; a careless one is."""

import numpy as np
import torch
from music import music

from babe2.evaluation.seams import seams

RATE = 8000
JOINS = [(start, start + 0.1) for start in (4.9, 9.8, 14.7, 19.6, 24.5)]


def tune() -> torch.Tensor:
    """30 s of music whose notes are no multiples of the joins apart."""
    parts = [music(0.73 * 4, RATE, seed=seed) for seed in range(11)]
    return torch.from_numpy(np.concatenate(parts, axis=1))[:, : 30 * RATE]


def joined(later: torch.Tensor) -> torch.Tensor:
    """`later` from every second join on, at once."""
    x = tune()
    for (start, _), (end, _) in zip(JOINS[::2], [*JOINS[1::2], (30.0, 30.0)], strict=True):
        x[:, round((start + 0.05) * RATE) : round((end + 0.05) * RATE)] = later[
            :, round((start + 0.05) * RATE) : round((end + 0.05) * RATE)
        ]
    return x


def test_where_nothing_was_joined_nothing_stands_out() -> None:
    found = seams(tune(), RATE, JOINS)
    assert max(found) < 0.8


def test_a_jump_in_level_stands_out() -> None:
    assert seams(joined(0.2 * tune()), RATE, JOINS).level > 0.85


def test_a_change_of_colour_stands_out() -> None:
    dull = torch.nn.functional.avg_pool1d(tune()[None], 9, 1, 4)[0]
    assert seams(joined(dull), RATE, JOINS).spectrum > seams(tune(), RATE, JOINS).spectrum + 0.2


def test_a_broken_phase_stands_out() -> None:
    assert seams(joined(-tune()), RATE, JOINS).phase > seams(tune(), RATE, JOINS).phase + 0.2
