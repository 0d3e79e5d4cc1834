"""Sees to it that models are here: found in the registry or as folders, else fetched from the catalog."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from .. import catalog, registry
from ..errors import QTinkerError, RunStopped

TURNED_OFF = "Fetching models was turned off."


@dataclass
class Found:
    """For each name None where the model is here, else why it is not, in a sentence.

    Attributes:
        unfetched: the names whose fetching failed.
        fix: what to do about that; the same for all.
    """

    reasons: dict[str, str | None]
    unfetched: list[str] = field(default_factory=list)
    fix: str = ""


def at_hand(
    names: Sequence[str],
    *,
    fetch: bool,
    progress: Callable[[str], None] = lambda text: None,
    cancel: Callable[[], bool] = lambda: False,
) -> Found:
    """Which models are here now, after fetching those that were not.

    Raises:
        RunStopped: `cancel` said so while fetching.
    """
    found = Found({name: _missing(name) for name in names})
    wanted = [name for name, reason in found.reasons.items() if reason and catalog.find(name)]
    if not wanted:
        return found
    if not fetch:
        found.reasons |= dict.fromkeys(wanted, TURNED_OFF)
        return found
    from ..download import download

    progress(f"Fetching {', '.join(wanted)}")
    failures: dict[str, QTinkerError] = {}
    whole: QTinkerError | None = None
    try:
        download(wanted, cancel=cancel)
    except RunStopped:
        raise
    except QTinkerError as error:
        failures, whole, found.fix = getattr(error, "models", {}), error, error.fix
    for name in wanted:
        missing = _missing(name)
        if missing is not None:
            found.unfetched.append(name)
            missing = failures[name].message if name in failures else whole.message if whole else missing
        found.reasons[name] = missing
    return found


def _missing(name: str) -> str | None:
    try:
        registry.resolve(name)
    except RunStopped:
        raise
    except QTinkerError as error:
        return error.message
    return None
