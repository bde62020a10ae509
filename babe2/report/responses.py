"""The machine's response, as a report holds it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from babe2.degradations.given import from_record
from babe2.dsp.curves import Curve, SampledCurve, WeightedSum
from babe2.errors import RestorationError


def response_of(report: Mapping[str, Any]) -> tuple[Curve | None, SampledCurve | None]:
    """The response that was estimated, and within how many dB nine in ten true ones lie; None where nobody says.

    Reports that do not tell it as a whole have it segment by segment: then it is their misfit-weighted mean.
    """
    try:
        if whole := report.get("estimated_response"):
            return from_record(whole, "The report"), uncertainty_of(report)
        curves = curves_of(report)
        if not curves:
            return None, None
        weights = [1 / max(float(each["misfit"]), 1e-6) ** 2 for each in report["segments"]]
        return WeightedSum(curves, tuple(weight / sum(weights) for weight in weights)), uncertainty_of(report)
    except (
        AttributeError,
        KeyError,
        TypeError,
        ValueError,
        RuntimeError,
        RestorationError,
    ):  # somebody has changed the report
        return None, None


def curves_of(report: Mapping[str, Any]) -> tuple[Curve, ...]:
    """The equalizer of each segment."""
    return tuple(from_record(each["equalizer"], "The report") for each in report.get("segments") or [])


def uncertainty_of(report: Mapping[str, Any]) -> SampledCurve | None:
    """Within how many dB nine in ten true responses lie; None where nobody can say."""
    within = report.get("uncertainty")
    return within and SampledCurve(torch.tensor(within["frequencies_hz"]), torch.tensor(within["within_db"]))
