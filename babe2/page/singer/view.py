"""How a lesson stands, as the page shows it: a bar, a sentence, and the loss over time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from babe2.page.singer.lesson import Lesson
from babe2.wording import format_duration

SMOOTHED = 9  # reports that a point of the curve is the mean of, as single ones jump with the noise that is drawn
MOST_POINTS = 300
WIDTH, HEIGHT, MARGIN = 600, 140, 10

Reports = Sequence[Mapping[str, Any]]
Points = list[tuple[float, float]]  # iteration, value


def standing(lesson: Lesson) -> str:
    """Where it is, as HTML with a bar."""
    reports = lesson.progress()
    if not lesson.is_learning:
        return f'<div role="status">{escape(resting(lesson, reports))}</div>'
    if lesson.is_stopping:
        return bar(None, "stopping; what was learned is being saved")
    if not reports:
        return bar(None, "getting ready and measuring the recordings, which takes some minutes on a busy machine")
    last = reports[-1]
    left = float(last["seconds_left"] or 0.0)
    whole = 60 * lesson.wish.minutes if lesson.wish else left
    words = f"step {last['iteration']}, {heard(last)}, {format_duration(left)} left"
    return bar(min(1.0, max(0.0, 1 - left / whole)), words)


def resting(lesson: Lesson, reports: Reports) -> str:
    """How it has ended, or that it can begin."""
    if lesson.failure:
        return lesson.failure
    if not lesson.has_learned:
        return "Stopped before anything was learned." if lesson.was_stopped else ""
    ended = (
        "Stopped; it goes on from here." if lesson.was_stopped else "Done. It can go on from before its last minutes."
    )
    return f"{ended} {reports[-1]['iteration']} steps, {heard(reports[-1])}.{held_out(reports)}" if reports else ended


def heard(report: Mapping[str, Any]) -> str:
    """How much music it has heard."""
    minutes = 60 * float(report["hours_heard"] or 0.0)
    return f"{minutes:.1f} minutes of excerpts heard"


def held_out(reports: Reports) -> str:
    """What became of the error on what was kept apart."""
    values = [value for _, value in points(reports, "validation")]
    if len(values) < 2:
        return ""
    return f" Error on what was kept apart: {values[0]:.3f}, and {values[-1]:.3f} in the end."


def bar(share: float | None, words: str) -> str:
    """A bar with words; `share` None: nobody knows how far."""
    value = "" if share is None else f' value="{share:.3f}"'
    return f'<div><progress aria-label="Progress of the training"{value} max="1"></progress> <span>{words}</span></div>'


# The loss over time


def points(reports: Reports, name: str) -> Points:
    """A number of the reports over the iterations, where it is told."""
    return [(float(one["iteration"]), float(one[name])) for one in reports if one.get(name) is not None]


def smoothed(values: Points) -> Points:
    """Means of a few neighbours each, and no more points than a curve needs."""
    window = min(SMOOTHED, max(1, len(values) // 2))
    means = []
    for i in range(window, len(values) + 1):
        part = values[i - window : i]
        means.append((part[-1][0], sum(value for _, value in part) / window))
    step = max(1, len(means) // MOST_POINTS)
    return means[:-1:step] + means[-1:]


def curve(reports: Reports) -> str:
    """The loss, and the error on what was kept apart, over the steps, as SVG; "" before there are two points."""
    loss, held = smoothed(points(reports, "error")), points(reports, "validation")
    if len(loss) < 2:
        return ""
    everything = loss + held
    low, high = (pick(value for _, value in everything) for pick in (min, max))
    first, last = min(x for x, _ in everything), max(x for x, _ in everything)

    def place(point: tuple[float, float]) -> tuple[float, float]:
        x = MARGIN + (point[0] - first) / (last - first or 1) * (WIDTH - 2 * MARGIN)
        y = MARGIN + (high - point[1]) / (high - low or 1) * (HEIGHT - 2 * MARGIN)
        return x, y

    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in map(place, loss))
    dots = "".join(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="5"/>' for x, y in map(place, held))
    told = f"Error while learning, averaged over some steps: {loss[0][1]:.3f} at first, {loss[-1][1]:.3f} now."
    if held:
        told += f" Dots: on what was kept apart, {held[-1][1]:.3f} at last."
    return (
        f'<figure class="curve"><svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{told}">'
        f'<polyline points="{line}" fill="none" stroke="currentColor" stroke-width="2"/>'
        f'<g fill="currentColor">{dots}</g></svg><figcaption>{told}</figcaption></figure>'
    )
