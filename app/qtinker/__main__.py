"""`python -m qtinker` is the same program as `qtinker` and `python3 app`."""

import sys

from .cli import main

if __name__ == "__main__":
    sys.exit(main())
