"""Models in forms that can't be imported, known by the names of their files: what each is, and what to do with it."""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatch
from pathlib import Path

from .errors import CheckpointError

LIGHTNING = (
    "If it is PyTorch Lightning's, load it in its program, save the model in it as a Hugging Face folder "
    "(save_pretrained), and import that."
)
_ARCHIVES = ("*.tar", "*.tar.?z*", "*.tgz", "*.7z", "*.rar")
_FORMS = (
    (
        "adapter_config.json",
        "an adapter (such as LoRA): it changes another model, and is none by itself",
        "Merge it into its model with peft (merge_and_unload), save that with save_pretrained, and import it.",
    ),
    (
        "saved_model.pb",
        "a SavedModel of TensorFlow, which can't be imported",
        "Save the model as a Hugging Face folder with the library that wrote it, and import that.",
    ),
)


def refuse(path: Path, names: Iterable[str]) -> None:
    """Say what `path` is, if the names of its files tell.

    Raises:
        CheckpointError: it is in a form that is known and can't be imported.
    """
    present = set(names)
    for name, what, fix in _FORMS:
        if name in present:
            raise CheckpointError(f"{path} is {what}.", fix)


def is_archive(path: Path) -> bool:
    """Whether the name is that of an archive other than a zip."""
    return any(fnmatch(path.name.lower(), pattern) for pattern in _ARCHIVES)
