"""Where the program meets the terminal: streams, exit statuses, one-line errors, JSON on the last line.

A verb returns an Outcome. With --json its data is the last line on standard output and all else goes to standard
error; without, it is shown for people. Nothing below this module prints an error or ends the process.
"""

from __future__ import annotations

import codecs
import contextlib
import errno
import io
import json
import logging
import math
import os
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

import typer
from typer.exceptions import Abort, TyperException

from .. import together
from ..errors import EXIT_BAD_INPUT, EXIT_DONE, EXIT_FAILED, EXIT_STOPPED, QTinkerError, SpecError
from ..home import home

# What other programs set for themselves and would turn against us: unsafe loading, everything served.
UNWANTED = ("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "GRADIO_ALLOWED_PATHS")

# No room, or a disk that is only read.
NO_WRITING = (errno.ENOSPC, errno.EROFS)

# Libraries that warn of kernels for other machines and of their own deprecations at every start.
CHATTY = ("torchao", "torch.utils._pytree")


@dataclass
class Outcome:
    """What a verb did: `data` for programs, `show` for people, and the exit status where it is not 0."""

    data: dict[str, Any]
    show: Callable[[], None] = field(default=lambda: None)
    status: int = EXIT_DONE


def main(arguments: list[str] | None = None) -> int:
    """Run one command; the exit status."""
    given = sys.argv[1:] if arguments is None else arguments
    options = given[: given.index("--")] if "--" in given else given
    as_json = "--json" in options
    for name in UNWANTED:
        os.environ.pop(name, None)
    for name in CHATTY:
        logging.getLogger(name).setLevel(logging.ERROR)
    for stream in (sys.stdout, sys.stderr):  # a terminal that can't write a character shows another, and goes on
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    try:
        with redirected(to_stderr=as_json) as stdout:
            outcome = attempt(given)
            if not together.is_main():
                return outcome.status if outcome is not None else EXIT_DONE
            if as_json and outcome is not None:
                stdout.write(to_json(outcome.data, stdout) + "\n")
            elif outcome is not None:
                outcome.show()
            stdout.flush()
            return outcome.status if outcome is not None else EXIT_DONE
    except BrokenPipeError:  # `| head`: the reader has enough
        with contextlib.suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_FAILED


@contextlib.contextmanager
def redirected(*, to_stderr: bool) -> Iterator[TextIO]:
    """With --json whatever prints, prints to standard error; the real standard output is handed out."""
    stdout = sys.stdout
    if to_stderr:
        with contextlib.redirect_stdout(sys.stderr):
            yield stdout
    else:
        yield stdout


def attempt(arguments: list[str]) -> Outcome | None:
    """Run the command; every way in which it can end becomes an Outcome. None where the help was shown."""
    from .program import build

    try:
        result = build()(arguments, standalone_mode=False, prog_name=program_name())
    except TyperException as error:
        return failure(EXIT_BAD_INPUT, "UsageError", usage_message(error), usage_fix(error, arguments))
    except SpecError as error:
        problems = [vars(problem) for problem in error.problems]
        for problem in error.problems:  # a line each, so that a command in one ends where it ends
            tell(str(problem))
        message = " ".join(map(str, error.problems))
        return Outcome(described(error.exit_status, "SpecError", message, problems=problems), status=error.exit_status)
    except QTinkerError as error:
        return failure(error.exit_status, type(error).__name__, error.message, error.fix)
    except (KeyboardInterrupt, Abort):
        return failure(EXIT_STOPPED, "Stopped", "stopped.")
    except BrokenPipeError:
        raise
    except Exception as error:
        if isinstance(error, OSError) and error.errno in NO_WRITING and error.filename is not None:
            return failure(EXIT_FAILED, type(error).__name__, f"Can't write {error.filename}: {error.strerror}.",
                           "Make room, give yourself the right, or set QTINKER_HOME.")  # fmt: skip
        place = keep_traceback(arguments)
        message = f"{type(error).__name__}: {error}".rstrip(".") + "."
        return failure(EXIT_FAILED, type(error).__name__, message, f"The traceback is in {place}.")
    if isinstance(result, Outcome):
        return result
    if result == EXIT_STOPPED:
        return failure(EXIT_STOPPED, "Stopped", "stopped.")
    return None


def failure(status: int, kind: str, message: str, fix: str = "") -> Outcome:
    """Tell it in one line on standard error; with --json also as an object."""
    tell(f"{message} {fix}", "" if status == EXIT_STOPPED else "error: ")
    return Outcome(described(status, kind, message, fix), status=status)


def described(status: int, kind: str, message: str, fix: str = "", **more: Any) -> dict[str, Any]:
    """What went wrong, as --json tells it."""
    return {"error": {"type": kind, "message": message, "fix": fix, "exit_status": status, **more}}


def tell(message: str, prefix: str = "error: ") -> None:
    """Write a message on one line of standard error."""
    print(prefix + " ".join(message.split()), file=sys.stderr, flush=True)


def takes_unicode(stream: TextIO) -> bool:
    """Whether what a stream writes is UTF-8; in a pipe of Windows it is so only from Python 3.15 on."""
    return codecs.lookup(stream.encoding or "utf-8").name == "utf-8"


def to_json(data: Any, stream: TextIO) -> str:
    """One line of JSON for a stream, in ASCII unless that is UTF-8.

    A figure that is no number (NaN, infinite) becomes null, what JSON has no form for its text.
    """

    def finite(value: Any) -> Any:
        if isinstance(value, dict):
            return {str(key): finite(each) for key, each in value.items()}
        if isinstance(value, list | tuple):
            return [finite(each) for each in value]
        return None if isinstance(value, float) and not math.isfinite(value) else value

    return json.dumps(finite(data), ensure_ascii=not takes_unicode(stream), default=str)


def usage_message(error: TyperException) -> str:
    """Typer's complaint about an option or argument, as one sentence."""
    message = " ".join(error.format_message().replace("Value error, ", "").split())
    return message if message.endswith((".", "?", ")")) else message + "."


def usage_fix(error: TyperException, arguments: list[str]) -> str:
    """The help that lists what there is. Of an option without its value the parser does not say where it stood."""
    context = getattr(error, "ctx", None)
    verb = next((word for word in arguments if not word.startswith("-")), "")
    return f"See: {context.command_path if context else f'{program_name()} {verb}'.strip()} --help"


def program_name() -> str:
    """How the user started it: from a checkout by `python3 app`, else by its script."""
    return "qtinker" if Path(sys.argv[0]).stem == "qtinker" else "python3 app"


def keep_traceback(arguments: list[str]) -> Path | str:
    """Write the current traceback into logs/; returns the file, or where it was shown instead."""
    text = f"{' '.join(arguments)}\n\n{traceback.format_exc()}"
    name = f"error-{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}.txt"
    for folder in (home() / "logs", Path(tempfile.gettempdir())):
        with contextlib.suppress(OSError):
            folder.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text, encoding="utf-8")
            return folder / name
    return "no file, as none could be written"


Json = typer.Option("--json", help="Print one JSON object as the last line; progress goes to standard error.")
