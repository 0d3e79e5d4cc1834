"""Start QTinker from a checkout: `python3 app VERB ...`, with nothing installed but Python.

Written so that even an old Python can read it and say in one sentence which one is needed; the work is in bootstrap.py.
"""

import sys

if sys.version_info < (3, 11):  # noqa: UP036 - an older Python is exactly what this is for
    sys.stderr.write(
        "error: QTinker needs Python 3.11 or newer, and this is Python "
        + ".".join(map(str, sys.version_info[:3]))
        + ". Install a newer one (python.org) and start it again with that.\n"
    )
    sys.exit(1)

from bootstrap import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
