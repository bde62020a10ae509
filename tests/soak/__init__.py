"""Long, seeded attacks: damaged files, interrupted runs, hostile checkpoints. `make soak` runs them all.

An attack is a module here with `run(count, seed) -> dict[str, int]`: it makes `count` attempts that follow from `seed`
alone and counts how they ended. Those of `MUST_BE_ZERO` must not happen; other names are free.
"""

MUST_BE_ZERO = ("tracebacks", "crashes", "hangs", "leftovers", "differences")  # the last: a wrong result without a word
