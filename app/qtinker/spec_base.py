"""How a setting is declared: the words beside the default, and the base of the parts of a spec."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field


def setting(default: Any = ..., title: str = "", help: str = "", **more: Any) -> Any:
    """A field with its words; keyword arguments beyond pydantic's own go to `json_schema_extra`."""
    extra: dict[str, Any] = {key: more.pop(key) for key in ("option", "level", "short", "suggestions") if key in more}
    return Field(default, title=title, description=help, json_schema_extra=extra or None, **more)


class Part(BaseModel):
    """A part of the spec: unknown keys are refused, assignments are checked."""

    model_config = ConfigDict(extra="forbid", validate_assignment=True)
