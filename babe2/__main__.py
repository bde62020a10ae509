"""`python -m babe2`: the command line."""

import sys

from babe2.commands.main import main

if __name__ == "__main__":
    sys.exit(main())
