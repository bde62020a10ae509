"""All methods by name, and which one a person means.

`babe2` is a word for several: what it means follows from the preset and from what suits the checkpoint; `informed` is
the same with a response that is given. A method of one's own is added to `METHODS`.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from babe2.config import PIANO, PRESETS, SAMPLING, About, Column, Model, SampleSettings, Settings, unknown_setting
from babe2.degradations.described import Described
from babe2.errors import RestorationError
from babe2.methods.babe import Babe
from babe2.methods.bandwise import Bandwise
from babe2.methods.base import Method, SegmentMethod
from babe2.methods.behm_gan import BehmGan
from babe2.methods.closed_form import ClosedFormMethod
from babe2.methods.guided import DRAFT_STEPS, Guided
from babe2.methods.ltas_eq import LtasEq
from babe2.methods.nothing import Nothing
from babe2.methods.paper import DROPS_LAST_STEP, Paper

BABE2 = "babe2"
INFORMED = "informed"  # the same for a response that is given, and refused without one
WORDS = (BABE2, INFORMED)  # which leave it to the preset and the checkpoint what is meant
METHODS: dict[str, type[Method]] = {
    method.name: method for method in (Paper, Guided, ClosedFormMethod, Bandwise, Babe, BehmGan, LtasEq, Nothing)
}
SOLVER = "solver"  # a setting that is no number: which method `babe2` means
_ABOUT_SOLVER = About(
    SAMPLING,
    "Way of following",
    "guided: by a pull; paper: that as published; closed-form: weighed up at each step; bandwise: piano-small's; "
    "babe: the paper's predecessor",
    "",
    lambda solver: solver in solvers(),
)


def names() -> list[str]:
    """All that a person may ask for as a method."""
    return [*WORDS, *METHODS]


def able(preset: str, column: Column, model: Model) -> dict[str, type[Method]]:
    """The methods, by the names to ask for them, that restore with a checkpoint in a preset, each of them once.

    `babe2` comes first, and the one that it means is not listed a second time.
    """
    usual = class_of(BABE2, preset, column)
    found = {BABE2: usual}
    for name in METHODS:
        with suppress(RestorationError):
            method = choose(name, preset, column, {})
            method.check(model)
            if type(method) is not usual:
                found[name] = type(method)
    return found


def solvers() -> list[str]:
    """The methods that sample from a prior, and so can be what `babe2` means."""
    return [name for name, method in METHODS.items() if issubclass(method, SegmentMethod) and method.asks_a_prior]


def choose(
    name: str,
    preset: str,
    column: Column,
    overrides: Mapping[str, Any],
    *,
    response_known: bool = False,
    degradation: Described | None = None,
) -> Method:
    """The method that a person asked for, with its settings; what it would not use is refused.

    Where nobody chose a solver and a given `degradation` has no closed form, it is followed by guidance.
    """
    if preset not in PRESETS:
        raise RestorationError(f"There is no preset {preset!r:.80}. Choose one of {', '.join(PRESETS)}.")
    chosen = dict(overrides)
    solver = chosen.pop(SOLVER, None)
    method = class_of(name, preset, column, solver)
    if name == INFORMED and not response_known and degradation is None:
        raise RestorationError(
            f"The method {INFORMED} keeps to a response that is given, and none is. "
            f"Give one (--response FILE), or choose {BABE2}, which finds it."
        )
    if degradation is not None and not method.takes_degradation(degradation):
        if name not in WORDS or solver is not None:
            raise RestorationError(
                f"{method.name} cannot undo the degradation {degradation.text:.80}. Choose {SOLVER}={Guided.name}, "
                f"or leave the {SOLVER if name in WORDS else 'method'} out."
            )
        method = class_of(name, preset, column, Guided.name)
    response_known = response_known or degradation is not None
    if response_known and not method.takes_response:
        raise RestorationError(f"A given response changes nothing with the method {method.name}. Leave it out.")
    refuse_foreign(method, chosen, named=name not in WORDS)
    ready = method.of(column, preset, chosen, response_known=response_known)
    ready.settings.refuse_idle(chosen, response_known)
    return ready


def class_of(name: str, preset: str, column: Column, solver: str | None = None) -> type[Method]:
    """The class that a method's name means with a preset, for a kind of checkpoint."""
    if name in WORDS:
        if solver not in (None, *solvers()):
            raise RestorationError(f"{SOLVER} is one of {', '.join(solvers())}, not {solver!r:.80}.")
        name = solver or (Paper.name if preset == "paper" else column.method)
        if preset == "paper" and name == Guided.name:  # which it is, as published
            name = Paper.name
    elif solver is not None:
        raise RestorationError(f"The method {name:.80} has no solver to choose. Leave it out.")
    if name not in METHODS:
        raise RestorationError(f"There is no method {name!r:.80}. Choose one of {', '.join(names())}.")
    return METHODS[name].as_in(preset)


def refuse_foreign(method: type[Method], chosen: Mapping[str, Any], *, named: bool) -> None:
    """Refuses settings that do not exist or belong to other methods. `named`: the method itself was asked for."""
    if unknown := sorted(set(chosen) - set(all_settings())):
        raise RestorationError(unknown_setting(unknown, all_settings()))
    if foreign := sorted(set(chosen) - set(method.settings_class.names())):
        raise RestorationError(
            f"{foreign[0]} changes nothing with the method {method.name}. {_way_out(users_of(foreign[0]), named)}"
        )


def _way_out(users: list[str], named: bool) -> str:
    """What to do with a setting that only these methods use."""
    if not users:
        return "Only `babe2 sample` uses it: leave it out."
    as_solver = [] if named else [name for name in users if name in solvers()]
    able, place = (as_solver, SOLVER) if as_solver else (users, "method")
    uses, one = ("uses", "it") if len(able) == 1 else ("use", "one of them")
    return f"{_listed(able)} {uses} it: choose {one} as {place}, or leave it out."


def _listed(words: list[str]) -> str:
    return " and ".join([", ".join(words[:-1])] * (len(words) > 1) + words[-1:])


def used(
    name: str, preset: str, column: Column, overrides: Mapping[str, Any], *, response_known: bool = False
) -> dict[str, Any]:
    """Those of some settings that a method uses, for whoever runs several methods with one set of wishes."""
    if unknown := sorted(set(overrides) - set(all_settings())):
        raise RestorationError(unknown_setting(unknown, all_settings()))
    solver = overrides.get(SOLVER) if name in WORDS else None
    method = class_of(name, preset, column, solver)
    own = {each: value for each, value in overrides.items() if each in method.settings_class.names()}
    idle = method.of(column, preset, own).settings.idle(response_known)
    chosen = {each: value for each, value in own.items() if each not in idle}
    return chosen if solver is None else {SOLVER: solver, **chosen}


def users_of(setting: str) -> list[str]:
    """The methods that have a setting."""
    return [name for name, method in METHODS.items() if setting in method.settings_class.names()]


def values_of(column: Column) -> dict[str, Any]:
    """Every setting with its value in a column, whatever the method."""
    found: dict[str, Any] = {SOLVER: column.method}
    for each in _settings_classes():
        found = column.settings(each).as_dict() | found
    found["sigma_max"] = column.settings(SampleSettings, **column.sampling).sigma_max
    return {name: found[name] for name in all_settings()}


def presets_of(column: Column) -> dict[str, dict[str, Any]]:
    """What each preset takes for a kind of checkpoint: its solver and that solver's settings.

    Besides the presets there are `solver=guided` and `solver=babe`, as they are in the standard one, and `sample`,
    music out of nothing.
    """
    wishes: dict[str, tuple[str, dict[str, str]]] = {preset: (preset, {}) for preset in PRESETS}
    wishes |= {f"{SOLVER}={name}": ("standard", {SOLVER: name}) for name in (Guided.name, Babe.name)}
    methods = {name: choose(BABE2, preset, column, chosen) for name, (preset, chosen) in wishes.items()}
    found = {name: {SOLVER: method.name, **method.settings.as_dict()} for name, method in methods.items()}
    return found | {"sample": sampling(column, "standard", {})[0].as_dict()}


def sampling(column: Column, preset: str, overrides: Mapping[str, Any]) -> tuple[SampleSettings, dict[str, Any]]:
    """The settings with which a preset makes music out of nothing, and what the sampler is told besides."""
    if preset not in PRESETS:
        raise RestorationError(f"There is no preset {preset!r:.80}. Choose one of {', '.join(PRESETS)}.")
    published = {"order": PIANO.settings(SampleSettings).order} if preset == "paper" else {}
    schedule = column.sampling | published | ({"steps": DRAFT_STEPS} if preset == "draft" else {})
    settings = column.settings(SampleSettings, **schedule).changed(**overrides)
    settings.refuse_idle(overrides)
    return settings, DROPS_LAST_STEP if preset == "paper" and settings.order == 2 else {}


def all_settings() -> dict[str, About]:
    """What is said of every setting of any method and of sampling, in the order in which people are shown them."""
    found = {SOLVER: _ABOUT_SOLVER}
    for each in _settings_classes():
        found |= {name: about for name, about in each.about().items() if name not in found}
    return dict(sorted(found.items(), key=lambda item: item[1].place))


def _settings_classes() -> list[type[Settings]]:
    """The classes of settings; the paper's, whose values are the published ones, first."""
    return [*(method.settings_class for method in METHODS.values()), SampleSettings]
