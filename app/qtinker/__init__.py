"""QTinker: distil, quantize and measure BERT models.

    import qtinker
    qtinker.download(["bert-tiny"])
    report = qtinker.distill(teacher="my-teacher", student="bert-tiny", data="reviews.csv")

The verbs are the functions of `qtinker.api`. Nothing is imported before it is used: `import qtinker` costs no torch.
"""

from __future__ import annotations

import importlib
import inspect
import logging
import sys
from collections.abc import Callable
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .api import compress as compress
    from .api import finetune as finetune
    from .api import import_model as import_model
    from .api import models as models
    from .api import remove as remove
    from .api import remove_runs as remove_runs
    from .api import remove_sweeps as remove_sweeps
    from .api import resume_run as resume_run
    from .api import resume_sweep as resume_sweep
    from .api import run as run
    from .api import show_run as show_run
    from .api import show_sweep as show_sweep
    from .api import start as start
    from .api import stop_run as stop_run
    from .api import stop_sweep as stop_sweep
    from .api import sweeps as sweeps
    from .api import trim as trim
    from .api import verify as verify
    from .spec import RunSpec as RunSpec

_FUNCTIONS = (
    "clean", "compress", "finetune", "import_model", "models", "remove", "remove_runs", "remove_sweeps", "resume_run",
    "resume_sweep", "run", "show_run", "show_sweep", "start",
    "stop_run", "stop_sweep", "sweeps", "trim", "verify",
)  # fmt: skip
# Verbs whose module has the same name: there Python's import binds the module, so the module itself is made callable.
_MODULES = ("compare", "data", "distill", "download", "evaluate", "export", "predict", "quantize", "runs")

__all__ = ["RunSpec", *_FUNCTIONS, *_MODULES]


class _Verb(ModuleType):
    """A module that is a verb too: calling it calls the function of that name in `api`."""

    def __call__(self, *args: Any, **settings: Any) -> Any:
        return self._verb()(*args, **settings)

    @property
    def __signature__(self) -> inspect.Signature:
        return inspect.signature(self._verb())

    def _verb(self) -> Callable[..., Any]:
        from . import api

        found: Callable[..., Any] = getattr(api, self.__name__.rpartition(".")[2])
        return found


class _Package(ModuleType):
    """This package: what is imported into it under a verb's name becomes callable."""

    def __setattr__(self, name: str, value: Any) -> None:
        if name in _MODULES and type(value) is ModuleType:
            value.__class__ = _Verb
        super().__setattr__(name, value)


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return importlib.import_module(f".{name}", __name__)
    if name in _FUNCTIONS:
        return getattr(importlib.import_module(".api", __name__), name)
    if name == "RunSpec":
        from .spec import RunSpec

        return RunSpec
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def _worth_saying(record: logging.LogRecord) -> bool:
    """torchao says at each import which kernels for other machines it has not loaded, and torch that torchao registers
    its enums twice: of no use to anybody."""
    noise = ("Failed to load", "is an Enum subclass and is now natively supported")
    return not any(words in record.getMessage() for words in noise)


for _name in ("torchao", "torch.utils._pytree"):
    logging.getLogger(_name).addFilter(_worth_saying)
sys.modules[__name__].__class__ = _Package
