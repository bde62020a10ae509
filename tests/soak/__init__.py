"""Long, seeded attacks: damaged files, interrupted runs, hostile checkpoints. `make soak` runs them all.

A module here has `run(count, seed) -> dict[str, int]`: it makes `count` attempts that follow from `seed` alone and
counts how they ended. `tried` is how many there were; those of `MUST_BE_ZERO` must not happen; other names are free,
such as `ok` and `sentences` (a `RestorationError`, as it should be).
"""

MUST_BE_ZERO = ("tracebacks", "crashes", "hangs", "leftovers", "differences")  # the last: a wrong result without a word
