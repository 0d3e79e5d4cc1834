"""Spares Gradio what it does for editors at each start: a third of the time that its import takes.

For each component class Gradio parses its source twice and compares a stub file for editors (.pyi) beside it. Nobody
reads those here, and where the environment is read-only they could not be written anyway.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any

MODULE, FUNCTION = "gradio.component_meta", "create_or_modify_pyi"


def without_stubs() -> None:
    """To be called before Gradio is imported for the first time; later it does nothing."""
    if "gradio" not in sys.modules and not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())


class _Finder(MetaPathFinder):
    """Finds one module as usual, and replaces one function once it is there."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != MODULE:
            return None
        sys.meta_path.remove(self)
        spec = PathFinder.find_spec(fullname, path)
        if spec is not None and spec.loader is not None:
            execute = spec.loader.exec_module

            def without(module: ModuleType) -> None:
                execute(module)
                if hasattr(module, FUNCTION):
                    setattr(module, FUNCTION, lambda *_: None)

            loader: Any = spec.loader
            loader.exec_module = without
        return spec
