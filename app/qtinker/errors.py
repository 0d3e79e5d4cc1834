"""The few exceptions that QTinker raises on purpose, each with words for the user and an exit status.

Library code raises them; only the borders (command line, page, worker) turn them into one line.
"""

from __future__ import annotations

import errno
import re
from dataclasses import dataclass

EXIT_DONE, EXIT_FAILED, EXIT_BAD_INPUT, EXIT_STOPPED = 0, 1, 2, 130
_NUMBER = re.compile(r"\(os error (\d+)\)")
_FULL_ON_WINDOWS = 112
_FULL = {errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC)}


class QTinkerError(Exception):
    """Something QTinker can explain: `message` says what was wrong with which value, `fix` what to do."""

    exit_status = EXIT_FAILED

    def __init__(self, message: str, fix: str = "") -> None:
        self.message, self.fix = message, fix
        super().__init__(f"{message} {fix}".strip())


class InputError(QTinkerError):
    """What the user gave can't be used as it is: a file, an option, a name."""

    exit_status = EXIT_BAD_INPUT


class CheckpointError(InputError):
    """A model file or folder is damaged, foreign, unsafe or incomplete; the message names it."""


class DownloadError(QTinkerError):
    """Fetching failed for good: after retries, or because what came is not what was promised.

    `models` says what went wrong with each, where several were asked for at once.
    """

    def __init__(self, message: str, fix: str = "", *, models: dict[str, QTinkerError] | None = None) -> None:
        super().__init__(message, fix)
        self.models = models or {}


class MissingExtra(InputError):
    """An optional library is needed; `fix` names the extra that installs it."""


class SchemeUnfit(QTinkerError):
    """A scheme does not suit a model: quantized it answers too differently, or with no numbers."""


class RunFailed(QTinkerError):
    """Training ended without a result worth keeping (NaN, out of memory at one example, ...)."""


class DiskFull(RunFailed):
    """There is no room left: whoever frees some can go on."""


class RunStopped(QTinkerError):
    """The user stopped the run; what was done is saved and `fix` says how to go on."""

    exit_status = EXIT_STOPPED


@dataclass(frozen=True)
class Problem:
    """One thing wrong with a spec: the field's dotted path, what is wrong, what to do about it.

    `level` "warning" is worth knowing and stops nothing.
    """

    field: str
    message: str
    fix: str = ""
    level: str = "error"

    def __str__(self) -> str:
        return " ".join(part for part in (f"{self.field}: {self.message}", self.fix) if part)


class SpecError(InputError):
    """A RunSpec with problems, all of them at once."""

    def __init__(self, problems: list[Problem]) -> None:
        self.problems = problems
        super().__init__("; ".join(map(str, problems)))


def is_full(error: BaseException) -> bool:
    """Was it a full disk (or quota)? Errors of safetensors carry the system's number in their words only."""
    if isinstance(error, OSError):
        return error.errno in _FULL
    told = _NUMBER.search(str(error))
    return told is not None and int(told[1]) in {*_FULL, _FULL_ON_WINDOWS}
