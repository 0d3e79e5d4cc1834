"""`import PATH`: brings what a user has into the registry: a Hugging Face folder, a Google checkpoint, or its zip.

Only known kinds of file are taken over; weights end as safetensors; nothing in them is executed; and the model is
loaded once before it is let in.
"""

from __future__ import annotations

import json
import re
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from . import convert, foreign, hugging_face, model_folder, registry, staging, tokenizer_files, unpack
from .errors import CheckpointError, InputError
from .home import expanded, models_dir
from .model_card import model_card
from .tf_checkpoint import find_prefix

Progress = Callable[[str, int, int], None]
DATA_FILES = (".csv", ".tsv", ".jsonl", ".parquet", ".arrow", ".conll", ".xlsx")


def import_model(
    path: str | Path, *, name: str | None = None, do_lower_case: bool | None = None, progress: Progress | None = None
) -> Path:
    """Bring a model into the registry and return its folder there.

    Args:
        path: a folder of a Hugging Face model or a Google checkpoint (or one around it), a checkpoint's prefix, or a
            zip of one.
        name: its name in the registry; None: the folder's or zip's.
        do_lower_case: whether the model ignores case, where that is not known from its files; None: found out.
        progress: is told what is done (unpack, convert, copy, load), how far, and how much there is.

    Raises:
        InputError: nothing there that could be imported, or the name is taken.
        CheckpointError: the model is damaged, unsafe or not supported; the registry stays as it was.
    """
    path, tell = expanded(path), progress or _silent
    if not path.exists() and not path.with_name(path.name + ".index").exists():
        raise InputError(f"There is no file or folder {path}.")
    if _is_zip(path):
        return _import_zip(path, name, do_lower_case, tell)
    source = _find(path)
    if source.is_dir() and (source / model_folder.CONFIG).is_file():
        return _import_hugging_face(source, path, name, do_lower_case, tell)
    return _import_google(source, path, name, do_lower_case, tell)


def _is_zip(path: Path) -> bool:
    # PyTorch's files are zips too.
    if not path.is_file() or hugging_face.is_pickle(path) or path.suffix.lower() == ".ckpt":
        return False
    return path.suffix.lower() == ".zip" or zipfile.is_zipfile(path)


def _find(path: Path) -> Path:
    """The model folder or checkpoint that a path means, one folder further down where the path only wraps it."""
    if not path.is_dir():
        if hugging_face.is_pickle(path) or path.suffix in (".safetensors", ".h5", ".json", ".txt"):
            raise InputError(f"{path} is one file of a model.", f"Give its folder: {path.parent}")
        if path.suffix in DATA_FILES:
            raise InputError(
                f"{path} holds data, and import is for models.", "Data needs no import: name it with --data."
            )
        if foreign.is_archive(path):
            raise InputError(
                f"{path} is an archive, and of these only a zip is read.", "Unpack it and give its folder."
            )
        foreign.refuse(path, [path.name])
        return path
    if _is_model(path):
        return path
    foreign.refuse(path, [child.name for child in path.glob("*")])
    folders = [child for child in sorted(path.iterdir()) if child.is_dir()]
    inner = [child for child in folders if _is_model(child) and not unpack.is_module(child.name)]
    if len(inner) == 1:
        return inner[0]
    if inner:
        raise InputError(
            f"{path} holds {len(inner)} models: {', '.join(child.name for child in inner[:5])}.", "Give one of them."
        )
    for child in folders:
        foreign.refuse(child, [file.name for file in child.glob("*")])
    names = sorted(child.name for child in path.iterdir())
    files = ", ".join(names[:6]) or "nothing"
    zips = [name for name in names if name.lower().endswith(".zip")]
    raise InputError(
        f"{path} is no model: it has neither a config.json (Hugging Face) nor a bert_model.ckpt.index (Google), "
        f"only {files}.",
        f"Give the zip: {path / zips[0]}" if zips else "Give the folder that holds the model's files.",
    )


def _is_model(folder: Path) -> bool:
    return (folder / model_folder.CONFIG).is_file() or any(folder.glob("*.index")) or any(folder.glob("*.ckpt*"))


def _base_name(path: Path) -> str:
    """A name for the registry; the Hub's cache hides it two folders up (models--org--name/snapshots/<commit>)."""
    path = path.resolve()
    if path.parent.name == "snapshots" and path.parent.parent.name.startswith("models--"):
        return path.parent.parent.name.split("--")[-1]
    if path.is_dir():
        return path.name
    prefix = re.sub(r"\.(index|meta|data-\d{5}-of-\d{5})$", "", path.name)
    return path.stem if path.suffix.lower() == ".zip" else f"{path.parent.name}-{prefix}"


# --- Google's checkpoints ------------------------------------------------------------------------------------------


def _import_zip(path: Path, name: str | None, do_lower_case: bool | None, progress: Progress) -> Path:
    with staging.box(models_dir()) as box:
        folder = unpack.unpack(path, box / "checkpoint", progress=_stage(progress, "unpack"), hugging_face=True)
        read = _import_hugging_face if (folder / model_folder.CONFIG).is_file() else _import_google
        try:
            return read(folder, path, name, do_lower_case, progress)
        except CheckpointError as error:
            raise CheckpointError(error.message.replace(str(folder), str(path)), error.fix) from None


def _import_google(source: Path, given: Path, name: str | None, do_lower_case: bool | None, progress: Progress) -> Path:
    prefix = find_prefix(source)
    config = convert.read_google_config(prefix.parent)
    base = name or _base_name(given)
    if do_lower_case is None:
        vocabulary = tokenizer_files.read_vocabulary(prefix.parent / "vocab.txt")
        do_lower_case = tokenizer_files.lower_cases(vocabulary, base, given.name, prefix.parent.name)
    group = _group(config, base)
    final = name or registry.unique_name(group, base)
    with registry.staged(group, final) as folder:
        made = convert.convert(source, folder, do_lower_case=do_lower_case, progress=_stage(progress, "convert"))
        _load_once(folder, given, progress)
        origin = {"type": "import", "path": given.name, "format": "tensorflow"}
        _finish(folder, {**made, "kind": "imported", "name": final, "source": origin})
    return models_dir() / group / final


def _group(config: dict[str, Any], name: str) -> str:
    """The shelf of a Google model, by its shape, as the catalog has it."""
    if config["vocab_size"] in (119547, 105879, 21128) or re.search(r"multi|chinese", name.lower()):
        return "multilingual"
    if (config["hidden_size"], config["num_hidden_layers"]) == (768, 12):
        return "bert_base"
    return "bert_large" if config["hidden_size"] > 768 or config["num_hidden_layers"] > 12 else "bert_small"


# --- Hugging Face folders ------------------------------------------------------------------------------------------


def _import_hugging_face(
    source: Path, given: Path, name: str | None, do_lower_case: bool | None, progress: Progress
) -> Path:
    config = hugging_face.read_config(source)
    meta = registry.read_meta(source)
    weights = hugging_face.weights(source, config)
    if "model_type" not in config:
        config["model_type"] = hugging_face.model_type(source, weights)
    final = name or registry.unique_name("hub", _base_name(given if given.is_dir() or _is_zip(given) else source))
    with registry.staged("hub", final) as folder:
        model_folder.write_text(folder / model_folder.CONFIG, json.dumps(config, indent=2, ensure_ascii=False) + "\n")
        hugging_face.bring_weights(source, weights, folder, progress)
        for file in hugging_face.COPIED:
            if (source / file).is_file():
                hugging_face.refuse_pointer(source / file)
                shutil.copyfile(source / file, folder / file)
        hugging_face.bring_tokenizer(source, folder, config, do_lower_case, given.name)
        _load_once(folder, given, progress)
        kept = {key: meta[key] for key in ("task", "max_length", "licence", "teacher") if meta.get(key) is not None}
        licence = kept.get("licence") or _card_licence(folder)
        origin = {"type": "import", "path": given.name, "format": weights[0].suffix.lstrip(".")}
        _finish(folder, {**kept, "licence": licence, "kind": "imported", "name": final, "source": origin})
    return models_dir() / "hub" / final


def _card_licence(folder: Path) -> str | None:
    """The licence that the model card states in its front matter."""
    import yaml

    try:
        parts = (folder / "README.md").read_text(encoding="utf-8", errors="replace").split("---\n", 2)
        front = yaml.safe_load(parts[1]) if len(parts) == 3 and not parts[0].strip() else None
    except (OSError, yaml.YAMLError):
        return None
    licence = front.get("license") if isinstance(front, dict) else None
    return licence if isinstance(licence, str) else None


# --- both ----------------------------------------------------------------------------------------------------------


def _load_once(folder: Path, given: Path, progress: Progress) -> None:
    """Load the staged model as its users will, run one text through it, and speak of the user's path if it fails."""
    import torch

    from . import checkpoint

    progress("load", 0, 1)
    try:
        loaded = checkpoint.load(folder)
        tokenizer = loaded.tokenizer
        wanted = checkpoint.model_inputs(loaded.model)
        batch = {key: value for key, value in tokenizer("hello", return_tensors="pt").items() if key in wanted}
        with torch.inference_mode():
            first = loaded.model(**batch)[0]
    except InputError as error:
        raise CheckpointError(error.message.replace(str(folder), str(given)), error.fix) from None
    if not torch.isfinite(first).all():
        raise CheckpointError(f"{given} answers with NaN or infinity: its weights are broken.", "Fetch it again.")
    progress("load", 1, 1)


def _finish(folder: Path, meta: dict[str, Any]) -> None:
    if not (folder / "README.md").is_file():
        config = model_folder.read_json(folder / model_folder.CONFIG)
        (folder / "README.md").write_text(model_card(meta, config=config), encoding="utf-8")
    registry.write_meta(folder, meta)


def _stage(progress: Progress, stage: str) -> Callable[[int, int], None]:
    return lambda done, total: progress(stage, done, total)


def _silent(stage: str, done: int, total: int) -> None:
    """Progress that nobody asked for."""
