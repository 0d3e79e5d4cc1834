"""The steps of quantizing one model: check, quantize, save, load again, compare, keep or refuse."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .. import home, model_folder, registry
from ..data import Examples
from ..errors import InputError, SchemeUnfit
from ..export.companions import how_to_run
from ..keeping import weights_key
from ..measure import quick_latency
from ..model_card import model_card
from ..predict import logits_of
from ..runtime import weights_bytes
from ..runtime.pytorch import TorchRuntime
from .engines import Work, apply
from .layers import bytes_by_part, select_layers
from .mixed import HIGH, LOW
from .rows import rows_to_check
from .schemes import CPU_ENGINES, Choice, Scheme, candidates
from .verify import Verdict, compare_logits, verify_folder

EXACT, ROUNDING = 1e-4, 2e-2
"""How far the logits of a model that was loaded again may be from those before it was saved, relative to their size."""
ACTIVATIONS_TOO = ("int8-dynamic", "int8-static")
"""Where activations are rounded, the last bit of a float sum, which depends on the threads, may move one by a step."""
NOT_SLOWER = 0.95
"""Times as fast as float that auto asks of an engine on a CPU; less is more than the clock's noise."""
PROVENANCE = ("licence", "max_length", "teacher", "run", "quantization_aware", "trained_on")
"""What a model's qtinker.json says of its source's origin too."""
CALLS = 12
"""Timed calls for a first word on speed; `evaluate` measures properly."""


def make(
    source: str | Path, scheme: Scheme, *, name: str | None, engine: str, device: str, force: bool,
    check_rows: Examples | Sequence[Any] | None, calibration: Examples | Sequence[Any] | None, max_loss: float,
    fresh: bool, progress: Callable[[str], None],
) -> Path:  # fmt: skip
    """See `quantize.quantize`."""
    choices = candidates(scheme, engine, device=device)
    path = registry.resolve(source)
    given = check_rows if calibration is None or scheme.name == "mixed" else calibration
    if scheme.examples and (given is None or not len(given)):
        raise InputError(f"{scheme.name} needs examples {scheme.examples}.", "Give some of your own: --data FILE")
    refuse_export(path)
    refuse_quantized(path)
    source_name = str(model_folder.read_meta(path).get("name") or path.name)
    name = name or registry.unique_name("quantized", f"{source_name}-{scheme.name}")
    attempt = Attempt(
        path, source_name, scheme, name, device, force, check_rows, calibration, max_loss, fresh, progress
    )  # fmt: skip
    measured: dict[str, float] = {}
    for choice in choices:
        try:
            attempt.run(choice, measured, at_least=NOT_SLOWER if len(choices) > 1 else None)
            break
        except _Slower as slower:
            measured[choice.engine] = slower.speedup
            progress(f"{choice.engine} is slower than float on this processor: {_times(slower.speedup)}")
    else:
        best = max(choices, key=lambda choice: measured[choice.engine])
        attempt.run(best, measured, at_least=None)
    return home.models_dir() / "quantized" / name


class _Slower(Exception):
    """An engine that auto tried is slower than float; carries times as fast as float."""

    def __init__(self, speedup: float) -> None:
        self.speedup = speedup


@dataclass
class Attempt:
    """One model by one scheme, with all that was asked."""

    path: Path
    source_name: str
    scheme: Scheme
    name: str
    device: str
    force: bool
    check_rows: Examples | Sequence[Any] | None
    calibration: Examples | Sequence[Any] | None
    max_loss: float
    fresh: bool
    progress: Callable[[str], None]

    def run(self, choice: Choice, measured: dict[str, float], *, at_least: float | None) -> None:
        """Quantize by one engine, load again, compare, keep.

        Args:
            measured: engines tried before, with times as fast as float.
            at_least: times as fast as float that it must be on the CPU; None keeps it whatever it is.

        Raises:
            _Slower: it is not; nothing is kept.
        """
        scheme, device, path = self.scheme, self.device, self.path
        meta = model_folder.read_meta(path)
        self.progress(f"Loading {self.source_name}")
        runtime = TorchRuntime(path, device="cpu", as_float=True)
        rows = rows_to_check(self.check_rows, runtime)
        max_length = runtime.max_length
        source_logits = logits_of(runtime, rows, max_length=max_length)
        layers = select_layers(runtime.model, needed=scheme.bits < 16)
        parameters = runtime.parameters
        source_ms = quick_latency(runtime, rows, calls=CALLS, max_length=max_length)

        def loss() -> float:
            logits = logits_of(runtime, rows, max_length=max_length)
            return compare_logits(source_logits, logits, problem_type=runtime.problem_type).logit_error

        with registry.staged("quantized", self.name) as folder:
            self.progress(
                f"Quantizing {len(layers.linears)} linear layers and {len(layers.embeddings)} embeddings "
                f"with {choice.engine}"
            )
            work = Work(
                runtime, layers, scheme, folder, loss, self.check_rows, self.calibration, self.max_loss, self.progress
            )
            notes = apply(work, choice.engine)
            expected = None
            if choice.engine not in CPU_ENGINES:  # those write their own tokenizer, and compute a little differently
                expected = logits_of(runtime, rows, max_length=max_length)
                runtime.tokenizer.save_pretrained(folder)
            readable(folder)
            record: dict[str, Any] = {
                "scheme": scheme.name, "engine": choice.engine, "reason": choice.reason, "source": self.source_name,
                "source_path": str(path), "source_key": weights_key(path),
                "embeddings": bool(layers.embeddings), "layers": len(layers.all), "bits": scheme.bits,
                "touches": scheme.touches, "keeps": scheme.keeps, **notes,
                "bytes_before": bytes_by_part(path) | {"total": weights_bytes(path)},
                "bytes_after": bytes_by_part(folder) | {"total": weights_bytes(folder)},
            }  # fmt: skip
            new_meta = {key: meta[key] for key in PROVENANCE if meta.get(key) is not None}
            new_meta |= {"name": self.name, "kind": "quantized", "task": runtime.task,
                         "source": {"model": self.source_name}, "parameters": parameters,
                         "quantization": record}  # fmt: skip
            model_folder.write_meta(folder, new_meta)
            self.progress("Loading it again and comparing it with its source")
            verdict, milliseconds = verify_folder(
                folder, source_logits, rows, expected=expected if device == "cpu" and scheme.bits < 16 else None,
                device=device, max_length=max_length, fresh=self.fresh, calls=CALLS,
                tolerance=ROUNDING if scheme.name in ACTIVATIONS_TOO else EXACT,
            )  # fmt: skip
            refuse_too_different(verdict, scheme, force=self.force)
            record["check"] = verdict.to_dict()
            speedup = source_ms / milliseconds if device == "cpu" and milliseconds else None
            if at_least is not None and speedup is not None and milliseconds:
                if speedup < at_least:  # perhaps the machine was busy just now: the source once more, which counts
                    speedup = quick_latency(TorchRuntime(path), rows, calls=CALLS, max_length=max_length) / milliseconds
                if speedup < at_least:
                    raise _Slower(speedup)
                record["reason"] = why(choice, speedup, measured)
            elif measured:
                record["reason"] = why(choice, measured[choice.engine], measured)
            record["findings"] = [
                f"Engine {choice.engine}: {record['reason']}.",
                f"Compared with its source: {verdict}.",
                *mixture_words(record),
            ]
            if speedup is not None:
                record["speedup"] = speedup
                record["findings"] += slower_words(scheme, choice.engine, speedup)
            config = model_folder.read_json(folder / model_folder.CONFIG)
            card = model_card(new_meta, config=config)
            if choice.engine in CPU_ENGINES:  # from_pretrained can't load it
                card = card.partition("## Load it")[0] + f"## Run it\n\n`{how_to_run(folder)}`\n"
            (folder / "README.md").write_text(card + _card(record), encoding="utf-8")
            model_folder.write_meta(folder, new_meta)
        self.progress(f"Kept as {self.name}: {verdict}")


def mixture_words(record: dict[str, Any]) -> list[str]:
    """How many layers mixed has in 4 bits, and what that loses."""
    if not (bits := record.get("bits_by_layer")):
        return []
    low = sum(number == LOW for number in bits.values())
    return [
        f"{low} of {len(bits)} layers are in {LOW} bits, the others in {HIGH}: {record['lost']:.2f} points of "
        f"{record['measured_by']} are lost on {record['measured_rows']} rows (at most {record['max_loss']:g} may be)."
    ]


def why(choice: Choice, speedup: float, measured: dict[str, float]) -> str:
    """Why this engine, with what was measured of it and of those that were passed over."""
    others = [f"{engine} {_times(ratio)}" for engine, ratio in measured.items() if engine != choice.engine]
    words = f"measured {_times(speedup)}" + (f" ({', '.join(others)})" if others else "")
    return words if others else f"{choice.reason}; {words}"


def _times(speedup: float) -> str:
    return f"{speedup:.1f} times as fast as float"


def readable(folder: Path) -> None:
    """Files as the user's umask asks for them: safetensors writes some for their owner alone."""
    if os.name != "posix":
        return
    mask = os.umask(0)
    os.umask(mask)
    for file in folder.rglob("*"):
        if file.is_file() and not file.is_symlink():
            file.chmod(0o666 & ~mask)


def refuse_export(path: Path) -> None:
    """
    Raises:
        InputError: the folder holds an export, whose weights no engine here can round.
    """
    meta = model_folder.read_meta(path)
    if export := meta.get("export"):
        raise InputError(
            f"{meta.get('name') or path.name} is an export and can't be quantized.",
            f"Quantize its source instead: {export['source']}.",
        )


def refuse_quantized(path: Path) -> None:
    """Rounding what is rounded already only loses more.

    Raises:
        InputError: the folder's model is quantized.
    """
    meta = model_folder.read_meta(path)
    record = meta.get("quantization")
    config = model_folder.read_json(path / model_folder.CONFIG) if (path / model_folder.CONFIG).is_file() else {}
    if record or config.get("quantization_config"):
        scheme = (record or {}).get("scheme") or config["quantization_config"].get("quant_method", "some scheme")
        source = (record or {}).get("source")
        raise InputError(
            f"{meta.get('name') or path.name} is quantized already ({scheme}).",
            f"Quantize its source instead: {source}." if source else "Quantize the float model that it was made from.",
        )


def slower_words(scheme: Scheme, engine: str, speedup: float) -> list[str]:
    """A warning where the result is slower than its source on this processor, with what would be faster."""
    if speedup >= NOT_SLOWER:
        return []
    others = [other for other in CPU_ENGINES if other in scheme.engines and other != engine]
    hint = f" --engine {' or '.join(others)} may be faster." if others else ""
    return [f"It is {1 / speedup:.1f} times slower than its source for one example on this processor.{hint}"]


def refuse_too_different(verdict: Verdict, scheme: Scheme, *, force: bool) -> None:
    """One answer alone may differ, however few rows there are: near a threshold any rounding turns it.

    Raises:
        SchemeUnfit: beyond the scheme's limits, unless forced.
    """
    changed = round((1 - verdict.agreement) * verdict.rows)
    agrees = verdict.agreement >= scheme.agreement or changed <= 1
    if force or (agrees and verdict.logit_error <= scheme.logit_error):
        return
    raise SchemeUnfit(
        f"{scheme.name} changes this model too much: {verdict} (at least {scheme.agreement:.0%} must agree, and the "
        f"error be at most {scheme.logit_error}).",
        "Choose a scheme with more bits, give rows of your own to compare on, or keep it anyway with --force.",
    )


def _card(record: dict[str, Any]) -> str:
    """The part of a quantized model's card that says what was done to it."""
    before, after = record["bytes_before"], record["bytes_after"]
    rows = "\n".join(f"| {part} | {before[part]:,} | {after[part]:,} |" for part in before if part in after)
    words = "\n".join(f"- {line}" for line in record["findings"])
    bits = "".join(f"| {name} | {number} |\n" for name, number in record.get("bits_by_layer", {}).items())
    return (
        f"\n## Quantization\n\nScheme `{record['scheme']}` by {record['engine']}, from {record['source']}.\n\n"
        f"Quantized: {record['touches']}. Not quantized: {record['keeps']}.\n\n"
        f"| part | bytes before | bytes after |\n|---|---|---|\n{rows}\n\n"
        f"Loaded again and compared with its source on {record['check']['rows']} rows:\n\n{words}\n"
        + (f"\n| layer | bits |\n|---|---|\n{bits}" if bits else "")
    )
