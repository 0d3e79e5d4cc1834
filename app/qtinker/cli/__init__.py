"""The command line: one command a verb, each a few lines that call qtinker.api and show what it returns.

`border` turns errors into one line and an exit status, and the result into JSON; the other modules hold the verbs.
"""

from __future__ import annotations

from .border import main

__all__ = ["main"]
