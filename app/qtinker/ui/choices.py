"""What can be chosen: models here and in the catalog with what matters of each, student layers and shapes."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .. import catalog, model_folder, registry
from ..errors import QTinkerError
from .format import short_number, size
from .texts import Texts

SHAPES = ("L-2_H-128_A-2", "L-4_H-256_A-4", "L-4_H-512_A-8", "L-6_H-384_A-12", "L-8_H-512_A-8")
_listed: dict[str, Any] = {"key": None, "models": []}


@dataclass(frozen=True)
class Model:
    """A model as a choice: a registry entry, a catalog entry, or both."""

    name: str
    here: bool
    role: str
    language: str
    kind: str
    layers: int | None
    hidden: int | None
    heads: int | None
    intermediate: int | None
    parameters: int | None
    bytes: int | None
    download: int | None
    trained: bool
    licence: str
    about: str
    entry: registry.RegistryEntry | None = None
    offer: catalog.CatalogEntry | None = None

    @property
    def work(self) -> float | None:
        """Multiplications a token in the encoder (attention over other tokens left out): what speed follows."""
        if not (self.layers and self.hidden):
            return None
        return self.layers * (4 * self.hidden**2 + 2 * self.hidden * (self.intermediate or 4 * self.hidden))


def entries() -> list[registry.RegistryEntry]:
    """The registry, read anew only when something in it changed."""
    key = _key()
    if _listed["key"] != key:
        _listed["models"] = registry.list_models()
        _listed["key"] = key
    return list(_listed["models"])


def _key() -> Any:
    root = registry.models_dir()
    found: list[Any] = [str(root)]
    with contextlib.suppress(OSError):
        for group in os.scandir(root):
            if group.is_dir() and not group.name.startswith("."):
                found.append((group.name, group.stat().st_mtime_ns))
                found += [(each.name, each.stat().st_mtime_ns) for each in os.scandir(group.path)]
    return sorted(map(str, found))


def models() -> list[Model]:
    """Everything that is here, then what the catalog offers beside it."""
    here = [from_entry(entry) for entry in entries()]
    offered = {(each.entry.group, each.entry.name) for each in here if each.entry}
    return here + [
        from_offer(offer) for offer in catalog.catalog().values() if (offer.group, offer.name) not in offered
    ]


def from_entry(entry: registry.RegistryEntry) -> Model:
    """A model that is here."""
    offer = catalog.find(entry.name) if entry.kind in ("pretrained", "manual") else None
    config: dict[str, Any] = {}
    with contextlib.suppress(QTinkerError):
        config = model_folder.read_json(entry.path / model_folder.CONFIG)

    def whole(*names: str) -> int | None:
        return next((config[name] for name in names if isinstance(config.get(name), int)), None)

    role = offer.role if offer else ("student" if entry.kind in ("distilled", "control", "quantized") else "both")
    return Model(
        name=entry.name if not _ambiguous(entry) else entry.full_name,
        here=True,
        role=role,
        language=offer.language if offer else "",
        kind=entry.kind,
        layers=whole("num_hidden_layers", "n_layers", "n_layer"),
        hidden=whole("hidden_size", "dim", "n_embd"),
        heads=whole("num_attention_heads", "n_heads", "n_head"),
        intermediate=whole("intermediate_size", "hidden_dim"),
        parameters=entry.parameters,
        bytes=entry.bytes,
        download=None,
        trained=entry.task is not None,
        licence=entry.licence or "",
        about=offer.about if offer else "",
        entry=entry,
        offer=offer,
    )


def _ambiguous(entry: registry.RegistryEntry) -> bool:
    return sum(each.name == entry.name for each in _listed["models"]) > 1


def from_offer(offer: catalog.CatalogEntry) -> Model:
    """A model that can be fetched."""
    return Model(
        name=offer.name, here=False, role=offer.role, language=offer.language, kind="pretrained", layers=offer.layers,
        hidden=offer.hidden, heads=offer.heads, intermediate=offer.intermediate, parameters=offer.parameters,
        bytes=4 * offer.parameters, download=offer.download_bytes, trained=False, licence=offer.licence,
        about=offer.about, offer=offer,
    )  # fmt: skip


def about(model: Model, t: Texts) -> str:
    """What the catalog says of a model, in the page's language."""
    if model.offer is None or t.language == "en":
        return model.about
    if own := t.get(f"catalog.{model.offer.name}"):
        return own
    miniature = t.get("catalog.miniature") if "miniatures:" in model.about else ""
    return miniature.format(layers=model.layers, hidden=model.hidden) or model.about


def find(name: str | None) -> Model | None:
    """The choice of that name."""
    if not name:
        return None
    known = models()
    return next((each for each in known if each.name == name), None) or next(
        (each for each in known if each.entry and each.entry.full_name == name), None
    )


def teacher_choices(t: Texts) -> list[tuple[str, str]]:
    """Models that can teach: those here first, trained ones at the top; then the catalog's."""

    def rank(model: Model) -> tuple[bool, bool, int]:
        return (not model.here, not model.trained, -(model.parameters or 0))

    suited = [
        each for each in models()
        if each.kind not in ("quantized", "exported") and (each.here or each.role in ("teacher", "both"))
    ]  # fmt: skip
    return [(teacher_label(each, t), each.name) for each in sorted(suited, key=rank)]


def teacher_label(model: Model, t: Texts) -> str:
    """One line of the teacher's list."""
    where = t("choice.trained") if model.here and model.trained else t("choice.here") if model.here else ""
    where = where or t("choice.to_download", size=size(model.download))
    return " · ".join([model.name, short_number(model.parameters), where])


def student_choices(teacher: Model | None, t: Texts) -> list[tuple[str, str]]:
    """Pretrained models smaller than the teacher, with parameters, size and expected speed-up."""
    top = (teacher.parameters or 0) if teacher else 0
    suited = [
        each for each in models()
        if each.kind in ("pretrained", "manual", "imported", "distilled") and each.role in ("student", "both")
        and (not top or (each.parameters or 0) < 0.9 * top) and not (teacher and each.name == teacher.name)
    ]  # fmt: skip
    suited.sort(key=lambda each: (not each.here, each.parameters or 0))
    return [(student_label(each, teacher, t), each.name) for each in suited]


def student_label(model: Model, teacher: Model | None, t: Texts) -> str:
    """A student as a card's two lines: the first is its name."""
    shape = t("choice.shape", layers=model.layers or "?", hidden=model.hidden or "?")
    facts = [shape, t("choice.parameters", n=short_number(model.parameters)), size(4 * (model.parameters or 0))]
    if gain := speed_up(teacher, model):
        facts.append(gain_words(gain, t))
    where = t("choice.here") if model.here else t("choice.to_download", size=size(model.download))
    return f"{model.name}\n{' · '.join(facts)}\n{where}"


def speed_up(teacher: Model | None, student: Model) -> float | None:
    """How many times less work a token the student does: an expectation, to be measured."""
    if not teacher or not teacher.work or not student.work:
        return None
    return teacher.work / student.work


def gain_words(gain: float, t: Texts) -> str:
    """About so many times faster, or slower."""
    if gain < 0.95:
        return t("choice.slower", n=f"{1 / gain:.1f}")
    return t("choice.faster", n=f"{gain:.0f}" if gain >= 10 else f"{gain:.1f}")


def has_layers(model: Model | None, layers: str) -> bool:
    """Whether a model has all the layers of a list such as 0,2,4."""
    numbers = [int(part) for part in layers.split(",") if part.strip().isdecimal()]
    return model is not None and len(numbers) == len(layers.split(",")) and max(numbers) < (model.layers or 0)


def layer_choices(teacher: Model | None, t: Texts) -> list[tuple[str, str]]:
    """Ways to cut a student from the teacher's layers: evenly spread halves, thirds, quarters; the first and last kept;
    and the layers that the method feature imitates."""
    count = teacher.layers if teacher and teacher.layers else 12
    found: list[tuple[str, str]] = []
    for keep in sorted({count // 2, count // 3, count // 4, 2}, reverse=True):
        if 0 < keep < count:
            spread = [round(index * (count - 1) / max(1, keep - 1)) if keep > 1 else 0 for index in range(keep)]
            even = [index * count // keep for index in range(keep)]
            value = ",".join(map(str, even))
            found.append((t("choice.layers", n=keep, of=count) + f"\n{value}", value))
            if spread != even and keep > 2:
                other = ",".join(map(str, spread))
                found.append((t("choice.layers_ends", n=keep, of=count) + f"\n{other}", other))
            if count % keep == 0:
                upper = ",".join(str(layer + count // keep - 1) for layer in even)
                found.append((t("choice.layers_upper", n=keep, of=count) + f"\n{upper}", upper))
    return found


def options(suits: Callable[[Model], bool]) -> list[tuple[str, str]]:
    """Names of models here for which `suits` holds, with size, for a drop-down list."""
    return [
        (f"{each.name} · {short_number(each.parameters)} · {size(each.bytes)}", each.name)
        for each in sorted(models(), key=_students_first)
        if each.here and each.entry and not each.entry.broken and suits(each)
    ]


def _students_first(model: Model) -> tuple[bool, bool, str]:
    """Distilled models before others, and the control never first."""
    return (model.kind != "distilled", model.kind == "control", model.name)
