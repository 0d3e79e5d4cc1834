"""Files, folders and models by names that mean the same in a process that starts in another folder."""

from __future__ import annotations

from . import catalog, registry
from .errors import QTinkerError
from .home import expanded
from .spec import DataSpec, RunSpec


def run_spec(spec: RunSpec) -> RunSpec:
    """The same spec with files and folders as absolute paths."""
    spec = spec.model_copy(deep=True)
    anchor_data(spec.data)
    for part in (spec.student, spec.teacher) if spec.teacher else (spec.student,):
        if part.model:
            part.model = model(part.model)
    if spec.teacher and spec.teacher.also:
        spec.teacher.also = [model(name) for name in spec.teacher.also]
    return spec


def anchor_data(data: DataSpec) -> None:
    """Give the files that a data spec names absolute paths, in place."""
    if data.train != "sample":
        data.train = file(data.train)
    if data.eval:
        data.eval = file(data.eval)
    if data.unlabelled:
        data.unlabelled = [file(source) for source in data.unlabelled]
    if data.augment_model:
        data.augment_model = model(data.augment_model)


def model(name: str) -> str:
    """A name of the catalog or the registry as it is, a folder by its absolute path."""
    try:
        known = catalog.find(name) is not None or registry.find(name) is not None
    except QTinkerError:
        known = True  # of several in the registry
    return name if known else file(name)


def file(text: str) -> str:
    """A path that is there, absolute; anything else as it is."""
    path = expanded(text)
    return str(path.resolve()) if path.exists() else text
