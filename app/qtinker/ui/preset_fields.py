"""Presets as the Distil page has them: cards, and the values that each gives to fields."""

from __future__ import annotations

from typing import Any

from ..presets import presets
from ..spec import METHODS
from . import form
from .texts import Texts


def preset_values(name: str) -> dict[str, Any]:
    """What a preset sets, by the paths of the form."""
    settings, values = presets()[name].settings, {}
    for part, value in settings.items():
        if not isinstance(value, dict):
            values[part] = value
            continue
        inside = f"method.{value['name']}" if part == "method" else part
        for key, item in value.items():
            path = "method.name" if (part, key) == ("method", "name") else f"{inside}.{key}"
            values[path] = form.shown(path, item)
    return values


def offered_presets() -> list[str]:
    """The presets whose method there is, in their order."""
    return [name for name, each in presets().items() if each.settings["method"]["name"] in METHODS]


PRESET_PATHS = list(dict.fromkeys(path for name in offered_presets() for path in preset_values(name)))


def preset_words(name: str, t: Texts) -> str:
    """A preset as a card."""
    each = presets()[name]
    return str(t.get(f"preset.{name}", f"{each.title}\n{each.about}"))
