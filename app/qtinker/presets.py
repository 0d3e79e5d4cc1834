"""Presets: settings that go well together, under a name. Each is a YAML file in `presets/`.

A preset fills in what was not said; whatever is given beside it counts.
"""

from __future__ import annotations

import difflib
from copy import deepcopy
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

import yaml

from .errors import InputError

ORDER = ("fast", "patient", "balanced", "tinybert", "best", "general")
"""As a user should see them."""


@dataclass(frozen=True)
class Preset:
    """One preset: `settings` is a part of the data of a RunSpec."""

    name: str
    title: str
    about: str
    settings: dict[str, Any]


@cache
def presets() -> dict[str, Preset]:
    """All presets by name, in their order."""
    folder = resources.files(__package__) / "presets"
    found = {}
    for name in ORDER:
        content = yaml.safe_load((folder / f"{name}.yaml").read_text(encoding="utf-8"))
        found[name] = Preset(name, content["title"], content["about"], content["settings"])
    return found


def preset(name: str) -> Preset:
    """The preset of that name.

    Raises:
        InputError: there is none.
    """
    if name in presets():
        return presets()[name]
    close = difflib.get_close_matches(name, ORDER, n=1)
    raise InputError(
        f"There is no preset {name!r}.", f"Did you mean {close[0]}?" if close else f"Presets are: {', '.join(ORDER)}."
    )


def apply(name: str, given: dict[str, Any]) -> dict[str, Any]:
    """The data of a RunSpec: the preset's settings under those that were given.

    The preset's settings of its method are left out where another method was given.
    """
    settings = deepcopy(preset(name).settings)
    method = (given.get("method") or {}).get("name")
    if method and method != settings["method"]["name"]:
        settings["method"] = {}
    return _over(settings, given)


def _over(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for key, value in above.items():
        both = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = _over(merged[key], value) if both else value
    return merged
