"""Sees to it that models are here: found in the registry or as folders, else fetched from the catalog."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from .. import catalog, registry
from ..errors import DownloadError, QTinkerError, RunStopped


def at_hand(
    names: Sequence[str],
    *,
    fetch: bool,
    progress: Callable[[str], None] = lambda text: None,
    cancel: Callable[[], bool] = lambda: False,
) -> dict[str, str | None]:
    """For each name None where the model is here now, else why it is not, in a sentence.

    Raises:
        RunStopped: `cancel` said so while fetching.
    """
    reasons = {name: _missing(name) for name in names}
    wanted = [name for name, reason in reasons.items() if reason and catalog.find(name)]
    if not wanted:
        return reasons
    if not fetch:
        return reasons | dict.fromkeys(wanted, "fetching models was turned off.")
    from ..download import download

    for name in wanted:
        progress(f"Fetching {name}")
    failure = ""
    try:
        download(wanted, cancel=cancel)
    except DownloadError as error:
        failure = " ".join(str(error).split())
    for name in wanted:
        why = _missing(name)
        reasons[name] = None if why is None else f"it could not be fetched ({failure or why})"
    return reasons


def _missing(name: str) -> str | None:
    try:
        registry.resolve(name)
    except RunStopped:
        raise
    except QTinkerError as error:
        return error.message
    return None
