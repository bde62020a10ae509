"""The ways to restore: one file each. A method knows its settings and its arithmetic, but no file and no page."""

from babe2.methods.base import Method
from babe2.methods.registry import (
    BABE2,
    METHODS,
    SOLVER,
    WORDS,
    able,
    all_settings,
    choose,
    names,
    presets_of,
    solvers,
    used,
    users_of,
    values_of,
)

__all__ = [
    "BABE2",
    "METHODS",
    "SOLVER",
    "WORDS",
    "Method",
    "able",
    "all_settings",
    "choose",
    "names",
    "presets_of",
    "solvers",
    "used",
    "users_of",
    "values_of",
]
