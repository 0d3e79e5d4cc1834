"""Checks and takes over a Hugging Face folder of a user's: config, weights, tokenizer. Part of importing.

What needs code to run, is cut off, quantized or of a kind that is not supported is refused by the file's name.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import foreign, model_folder, pickled_weights, tokenizer_files
from .errors import CheckpointError
from .kinds import task_of
from .tf_table import refuse_lfs_pointer

if TYPE_CHECKING:
    from tokenizers import AddedToken

Progress = Callable[[str, int, int], None]
SUPPORTED = ("bert", "distilbert", "albert", "mobilebert", "gpt2")
_WORDPIECE = ("bert", "distilbert", "mobilebert")
COPIED = (
    "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "vocab.txt",
    "vocab.json", "merges.txt", "spiece.model", "generation_config.json", "README.md", "LICENSE", "LICENSE.txt",
)  # fmt: skip
_PICKLE_INDEX = "pytorch_model.bin.index.json"
_WHOLE = (model_folder.WEIGHTS, model_folder.WEIGHTS_INDEX, "pytorch_model.bin", _PICKLE_INDEX)
_FOREIGN = (
    "*.ckpt",
    "tf_model.h5",
    "flax_model.msgpack",
    "model.onnx",
    "*.onnx",
    "*.gguf",
    "*.tflite",
    "*.ot",
    "*.mlmodel",
)
_PROBE = "Hello WÖRLD, naïve Straße: don't 漢字! " + "ab" * 60


def is_pickle(path: Path) -> bool:
    """Whether the name is that of PyTorch's pickled weights."""
    return path.suffix.lower() in (".bin", ".pt", ".pth")


def read_config(source: Path) -> dict[str, Any]:
    """config.json, of a kind that can be used, its outputs named, and without code of its own.

    Raises:
        CheckpointError: anything else.
    """
    path = source / model_folder.CONFIG
    for name in (model_folder.CONFIG, "tokenizer_config.json"):
        if (source / name).is_file():
            refuse_pointer(source / name)
            content = _json(source / name)
            if content.get("auto_map"):
                raise CheckpointError(
                    f"{source / name} asks for code of the model's own (auto_map: {', '.join(_modules(content))}), "
                    "which QTinker never runs.",
                    "If it is an ordinary model all the same, remove auto_map from that file.",
                )
    config = _json(path)
    if config.get("quantization_config"):
        raise CheckpointError(
            f"{path} says that the weights are quantized ({_quantized(config)}); only full weights can be imported.",
            "Import the original, then quantize it: python3 app quantize",
        )
    kind = config.get("model_type")
    if kind is not None and kind not in SUPPORTED:
        raise not_supported(path, kind)
    try:
        task_of(config, {})
    except CheckpointError as error:
        raise CheckpointError(f"{source}: {error.message}", error.fix) from None
    return config


def not_supported(path: Path, kind: Any) -> CheckpointError:
    """The error for a config.json of a model of another kind."""
    return CheckpointError(
        f"{path}: models of type {kind!r} are not supported.", f"Supported are {', '.join(SUPPORTED)}."
    )


def _modules(content: dict[str, Any]) -> list[str]:
    found = content["auto_map"]
    values = found.values() if isinstance(found, dict) else found if isinstance(found, list) else [found]
    return [str(value[0] if isinstance(value, list) and value else value) for value in values]


def _quantized(config: dict[str, Any]) -> str:
    details = config["quantization_config"]
    return str(details.get("quant_method", "method unknown")) if isinstance(details, dict) else str(details)


def _json(path: Path) -> dict[str, Any]:
    try:
        return model_folder.read_json(path)
    except CheckpointError as error:
        raise CheckpointError(f"{path.parent}: {error.message}", "Fetch the model again.") from None


def refuse_pointer(path: Path) -> None:
    try:
        with path.open("rb") as file:
            refuse_lfs_pointer(path, file.read(64))
    except OSError as error:
        raise CheckpointError(f"Can't read {path}: {error.strerror or error}.") from None


def weights(source: Path, config: dict[str, Any]) -> list[Path]:
    """The weight files to take: safetensors if there are any, else pickles; each checked for being whole."""
    if not any((source / name).is_file() for name in _WHOLE):
        foreign.refuse(source, [file.name for file in source.iterdir()])
    for file in sorted(source.glob("*.safetensors")):
        refuse_pointer(file)
    try:
        if found := model_folder.safetensors_files(source):
            for file in found:
                model_folder.safetensors_header(file)
            if len(found) > 1 and not (source / model_folder.WEIGHTS_INDEX).is_file():
                raise CheckpointError(
                    f"{len(found)} safetensors files, but no {model_folder.WEIGHTS_INDEX} that says what is in which."
                )
            return found
    except CheckpointError as error:
        raise CheckpointError(f"{source}: {error.message}", "Fetch the file again.") from None
    if (source / _PICKLE_INDEX).is_file():
        mapped = _json(source / _PICKLE_INDEX).get("weight_map")
        names = sorted({str(name) for name in mapped.values()}) if isinstance(mapped, dict) else []
        for name in names:
            if Path(name).name != name or not (source / name).is_file():
                raise CheckpointError(f"{source}: {name} is missing, though {_PICKLE_INDEX} names it.")
        if names:
            return [source / name for name in names]
    if (source / "pytorch_model.bin").is_file():
        return [source / "pytorch_model.bin"]
    pickles = [file for file in sorted(source.iterdir()) if is_pickle(file) and file.name != "training_args.bin"]
    pickles = [file for file in pickles if file.stem not in ("optimizer", "scheduler", "scaler", "rng_state")]
    if len(pickles) == 1:
        return pickles
    others = [file.name for pattern in _FOREIGN for file in sorted(source.glob(pattern))]
    if pickles:
        raise CheckpointError(
            f"{source} holds {len(pickles)} files of weights: {', '.join(file.name for file in pickles[:5])}.",
            "Leave only the one to import in the folder.",
        )
    if others:
        lightning = foreign.LIGHTNING if others[0].endswith(".ckpt") else ""
        raise CheckpointError(
            f"{source} has its weights only as {', '.join(dict.fromkeys(others))}, which can't be imported.",
            lightning or f"Save the model as {model_folder.WEIGHTS}.",
        )
    if any(source.glob("*.index")):
        raise CheckpointError(
            f"{source} holds a TensorFlow checkpoint, and a config.json as Hugging Face's models have.",
            "If it is one of Google's, rename config.json to bert_config.json.",
        )
    inner = sorted({file.parent.name for name in _WHOLE for file in source.glob(f"*/{name}")})  # as checkpoint-500
    inner = [name for name in inner if (source / name / model_folder.CONFIG).is_file()]
    raise CheckpointError(
        f"{source} has no weights ({model_folder.WEIGHTS} is missing).",
        f"Give one of the folders in it: {', '.join(inner[:5])}." if inner else "Fetch the model again.",
    )


def model_type(source: Path, weights: list[Path]) -> str:
    """Old folders do not say what they are; a BERT is known by its tensors' names."""
    names = [
        name for file in weights if file.suffix == ".safetensors" for name in model_folder.safetensors_header(file)
    ]
    if any(re.match(r"(bert\.)?encoder\.layer\.0\.attention\.self\.query\.weight$", name) for name in names):
        return "bert"
    raise CheckpointError(
        f"{source / model_folder.CONFIG} does not say its model_type.",
        f'Add it, for example "model_type": "bert"; supported are {", ".join(SUPPORTED)}.',
    )


def bring_weights(source: Path, weights: list[Path], folder: Path, progress: Progress) -> None:
    total = sum(file.stat().st_size for file in weights)
    if weights[0].suffix != ".safetensors":
        progress("convert", 0, total)
        pickled_weights.to_safetensors(weights, folder / model_folder.WEIGHTS)
        progress("convert", total, total)
        return
    done = 0
    for file in weights:
        target = folder / (file.name if len(weights) > 1 else model_folder.WEIGHTS)
        shutil.copyfile(file, target)
        done += file.stat().st_size
        progress("copy", done, total)
    if len(weights) > 1:
        shutil.copyfile(source / model_folder.WEIGHTS_INDEX, folder / model_folder.WEIGHTS_INDEX)


def bring_tokenizer(source: Path, folder: Path, config: dict[str, Any], do_lower_case: bool | None, name: str) -> None:
    """Make sure that the tokenizer which transformers loads is the one that the files describe.

    A vocabulary alone is read with the wrong case by transformers, and a tokenizer.json beside a config that does not
    repeat its settings likewise: the first gets all its files, the second is declared as what it is.
    """
    files = [
        file for file in ("tokenizer.json", "vocab.txt", "vocab.json", "spiece.model") if (folder / file).is_file()
    ]
    if not files:
        raise CheckpointError(f"{source} has no tokenizer (tokenizer.json or vocab.txt).", "Put it there.")
    if config["model_type"] not in _WORDPIECE:
        return
    settings = folder / "tokenizer_config.json"
    options = _json(settings) if settings.is_file() else {}
    if do_lower_case is not None or "tokenizer.json" not in files:
        vocabulary = tokenizer_files.read_vocabulary(_named(folder / "vocab.txt", source))
        if do_lower_case is None:
            stated = options.get("do_lower_case")
            guessed = tokenizer_files.lower_cases(vocabulary, name, source.name)
            do_lower_case = stated if isinstance(stated, bool) else guessed
        length, strips = config.get("max_position_embeddings"), options.get("strip_accents")
        tokenizer_files.write_tokenizer(
            folder, vocabulary, do_lower_case=do_lower_case, max_length=length if isinstance(length, int) else 512,
            strip_accents=strips if isinstance(strips, bool) else None,
            tokenize_chinese_chars=options.get("tokenize_chinese_chars") is not False, added=_added_tokens(options),
        )  # fmt: skip
    elif not _reads_alike(folder):
        options |= {"tokenizer_class": "PreTrainedTokenizerFast"}
        # The general class knows no names of special tokens by itself, as BertTokenizer does.
        for token in tokenizer_files.SPECIAL:
            options.setdefault(f"{token[1:-1].lower()}_token", token)
        model_folder.write_text(settings, json.dumps(options, indent=2, ensure_ascii=False) + "\n")


def _added_tokens(options: dict[str, Any]) -> dict[int, AddedToken]:
    """What tokenizer_config.json says of tokens beside the vocabulary's, by id."""
    from tokenizers import AddedToken

    keys = ("content", "single_word", "lstrip", "rstrip", "normalized", "special")
    try:
        return {
            int(number): AddedToken(**{key: entry[key] for key in keys if key in entry})
            for number, entry in (options.get("added_tokens_decoder") or {}).items()
        }
    except (AttributeError, TypeError, ValueError) as error:
        reason = " ".join(str(error).split())[:200]
        raise CheckpointError(f"tokenizer.json or tokenizer_config.json can't be read: {reason}") from None


def _named(path: Path, source: Path) -> Path:
    """The file to read; if it is not there, its place in the user's folder, for the message."""
    return path if path.is_file() else source / path.name


def _reads_alike(folder: Path) -> bool:
    """Whether transformers makes the same of a text as tokenizer.json itself does."""
    from tokenizers import Tokenizer
    from transformers import AutoTokenizer

    try:
        own = Tokenizer.from_file(str(folder / "tokenizer.json"))
        theirs = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        ids = theirs(_PROBE, add_special_tokens=False, verbose=False)["input_ids"]
    except Exception as error:
        reason = " ".join(str(error).split())[:200]
        raise CheckpointError(f"tokenizer.json or tokenizer_config.json can't be read: {reason}") from None
    own.no_truncation()
    own.no_padding()
    return own.encode(_PROBE, add_special_tokens=False).ids == ids
