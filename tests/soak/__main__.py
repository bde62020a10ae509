"""`python -m soak [NAME ...]`: runs the attacks, each in a process of its own, and prints what came of them.

The exit status is 0 where nothing happened that must not, else 1. An attack that takes longer than its share of
--minutes is ended and counts as a hang, one whose process dies as a crash; the seed makes each again.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from soak import MUST_BE_ZERO

HERE = Path(__file__).parent
CHILD = (
    "import importlib, json, sys; sys.path[:0] = sys.argv[4:];"
    "found = importlib.import_module(sys.argv[1]).run(int(sys.argv[2]), int(sys.argv[3]));"
    "print('\\n' + json.dumps(found))"
)


def attack(module: str, count: int, seed: int, seconds: float, folder: Path = HERE.parent) -> dict[str, int]:
    """How often each thing happened in one module's attack, which may take so many seconds."""
    command = [sys.executable, "-c", CHILD, module, str(count), str(seed), str(folder)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)
    try:
        out, _ = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)  # and whatever it has started
        process.communicate()
        return {"hangs": 1}
    if process.returncode:
        return {"crashes" if process.returncode < 0 else "tracebacks": 1}
    found: dict[str, int] = json.loads(out.rstrip().rpartition("\n")[2])
    return found


def table(found: dict[str, dict[str, int]]) -> str:
    """The counts, an attack a row; what must be zero comes last."""
    free = [name for counts in found.values() for name in counts if name not in MUST_BE_ZERO]
    columns = [*dict.fromkeys(free), *MUST_BE_ZERO]
    width = max(map(len, ["attack", *found]))
    rows = ["  ".join(["attack".ljust(width), *columns])]
    for name, counts in found.items():
        rows.append("  ".join([name.ljust(width), *(str(counts.get(one, 0)).rjust(len(one)) for one in columns)]))
    return "\n".join(rows)


def main(arguments: Sequence[str] | None = None) -> int:
    known = sorted(path.stem for path in HERE.glob("*.py") if "\ndef run(" in path.read_text("utf-8"))
    parser = argparse.ArgumentParser(prog="python -m soak", description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(known) or 'none yet'} (default: all)")
    parser.add_argument("--count", type=int, default=200, metavar="N", help="attempts of each (default 200)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="same seed, same attempts (default 0)")
    parser.add_argument("--minutes", type=float, default=30.0, metavar="M", help="for all together (default 30)")
    options = parser.parse_args(arguments)
    names = options.names or known
    if unknown := set(names) - set(known):
        parser.error(f"There is no attack called {', '.join(sorted(unknown))}.")
    if not names:
        parser.error("There are no attacks yet.")
    began, found = time.monotonic(), {}
    for left, name in zip(range(len(names), 0, -1), names, strict=True):
        share = max(1.0, (60 * options.minutes - (time.monotonic() - began)) / left)
        found[name] = attack(f"soak.{name}", options.count, options.seed, share)
    print(f"seed {options.seed}, {options.count} attempts each\n{table(found)}")
    return int(any(counts.get(one, 0) for counts in found.values() for one in MUST_BE_ZERO))


if __name__ == "__main__":
    sys.exit(main())
