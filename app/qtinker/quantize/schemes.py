"""The schemes: what each one touches, what it needs, what it promises. Torch-free, so that every border can show it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from ..errors import InputError

GROUP = 64
"""Weights of 4 bits that share a scale: a file of an eighth with 32 more bits for each, about a seventh of float."""
CPU_ENGINES = ("onnxruntime", "openvino")
"""Engines whose files run on the CPU and are no PyTorch folders."""


@dataclass(frozen=True)
class Scheme:
    """One way to make a model smaller.

    Attributes:
        engines: engines that can make it, the preferred one first.
        bits: bits a weight of the layers it touches, scales not counted.
        group: weights that share one scale; None: a whole row (output channel, or one token's embedding) does.
        touches, keeps, size, needs, suits: words for the user.
        examples: what it needs examples for; empty: it needs none.
        agreement: least share of the check rows that must keep their answer.
        logit_error: most that the logits may move, relative to their own size (root of mean squares).
    """

    name: str
    title: str
    engines: tuple[str, ...]
    bits: int
    group: int | None
    touches: str
    keeps: str
    size: str
    needs: str
    suits: str
    agreement: float
    logit_error: float
    examples: str = ""

    def weight_bytes(self, rows: int, columns: int, *, group: int | None = None) -> int:
        """Bytes of one matrix [rows, columns] by the size formula of the first engine, scales included."""
        weights = rows * columns * self.bits // 8
        if self.bits == 16:
            return weights
        if self.group is None:
            return weights + (5 if self.engines[0] == "torchao" else 4) * rows
        groups = columns // (group or self.group)
        return weights + rows * groups * 2 + -(-rows // 8) * 4 * groups

    def to_dict(self) -> dict[str, Any]:
        """Plain data, for JSON and the page."""
        return asdict(self)


@dataclass(frozen=True)
class Choice:
    """The engine that will make a scheme, and why that one."""

    engine: str
    reason: str


_LAYERS = "Linear layers of the encoder and all embeddings"
_KEEPS = "LayerNorm, biases, pooler and classifier stay float"
_UNPACKS = "weights unpack to float on loading, so speed and memory are the float model's"
SCHEMES: dict[str, Scheme] = {
    scheme.name: scheme
    for scheme in (
        Scheme(
            name="int8-dynamic",
            title="INT8, activations on the fly",
            engines=("torchao", "onnxruntime", "openvino"),
            bits=8,
            group=None,
            touches="Linear layers of the encoder (int8 weights with a scale an output, int8 activations) and all "
            "embeddings (int8 weights)",
            keeps=_KEEPS,
            size="1 byte a weight + 5 bytes a row (scale and zero point)",
            needs="nothing to calibrate; activations have a scale a token (torchao), one for 128 values of a token "
            "(openvino) or one a batch (onnxruntime, so a text's answer depends a little on its neighbours)",
            suits="a quarter of the bytes; faster than float with openvino or onnxruntime, with torchao a folder that "
            "transformers loads",
            agreement=0.9,
            logit_error=0.3,
        ),
        Scheme(
            name="int4-weight-only",
            title="INT4 weights in groups",
            engines=("compressed-tensors", "openvino"),
            bits=4,
            group=GROUP,
            touches=f"{_LAYERS}: 4 bits a weight, packed, with a 2-byte scale for each group of {GROUP} weights (fewer "
            f"where {GROUP} does not divide the widths), and a 4-bit zero point where the answers keep closer with it",
            keeps=_KEEPS + " (pooler and classifier are written in half precision by compressed-tensors)",
            size="half a byte a weight + 2 or 2.5 bytes a group",
            needs="compressed-tensors (transformers loads it by itself) or openvino; nothing to calibrate, but with "
            "--data FILE (32 rows or more) openvino's weights of BERT and DistilBERT are chosen by GPTQ, which loses "
            "less at the same size",
            suits=f"the smallest file to ship; with compressed-tensors {_UNPACKS}; small encoders lose more than large "
            "ones",
            agreement=0.75,
            logit_error=0.8,
        ),
        Scheme(
            name="mixed",
            title="INT4 mixed with 16 bits",
            engines=("compressed-tensors",),
            bits=4,
            group=GROUP,
            touches=f"{_LAYERS}, as int4-weight-only; those whose rounding costs most stay in half precision, found by "
            "measuring each on your evaluation data, until the result loses no more than half a point there "
            "(or what you allow)",
            keeps=_KEEPS + " (pooler and classifier are written in half precision)",
            size="half a byte a weight + 2 or 2.5 bytes a group; 2 bytes a weight of the layers that stay",
            needs="labelled examples, by --data FILE (without labels, the share of changed answers counts as the loss)",
            suits=f"the smallest file that keeps a promise on quality; {_UNPACKS}",
            agreement=0.75,
            logit_error=0.8,
            examples="to measure on what each layer costs",
        ),
        Scheme(
            name="int8-weight-only",
            title="INT8 weights",
            engines=("compressed-tensors", "openvino"),
            bits=8,
            group=None,
            touches=f"{_LAYERS}: int8 weights with a scale a row",
            keeps=_KEEPS,
            size="1 byte a weight + 4 bytes a row",
            needs="compressed-tensors (transformers loads it by itself) or openvino; nothing to calibrate",
            suits=f"almost no loss at a quarter of the bytes; fast with openvino; with compressed-tensors {_UNPACKS}",
            agreement=0.95,
            logit_error=0.2,
        ),
        Scheme(
            name="int8-static",
            title="INT8, calibrated",
            engines=("openvino",),
            bits=8,
            group=None,
            touches=f"{_LAYERS}: int8 weights, and int8 activations in ranges found on examples",
            keeps=_KEEPS,
            size="1 byte a weight + 4 bytes a row",
            needs="openvino, and examples of your own to calibrate on, by --data FILE: up to 300 are taken, spread "
            "over all (other text loses more)",
            suits="the fastest on a CPU",
            agreement=0.9,
            logit_error=0.5,
            examples="to find the ranges of the activations on",
        ),
        Scheme(
            name="nf4",
            title="NF4 weights in groups",
            engines=("openvino",),
            bits=4,
            group=GROUP,
            touches=f"{_LAYERS}: 4 bits a weight, sixteen values spread as a normal distribution is, a scale a group",
            keeps=_KEEPS,
            size="half a byte a weight + 2 bytes a group",
            needs="openvino; nothing to calibrate",
            suits="4 bits where weights are normally distributed and zero points are not wanted",
            agreement=0.75,
            logit_error=0.8,
        ),
        Scheme(
            name="fp8",
            title="FP8 weights",
            engines=("compressed-tensors", "torchao"),
            bits=8,
            group=None,
            touches=f"{_LAYERS}: 8-bit floats (e4m3) with a scale a row",
            keeps=_KEEPS,
            size="1 byte a weight + 4 bytes a row",
            needs="compressed-tensors (transformers loads it by itself), nothing to calibrate; for FP8 activations too "
            "--device cuda and a GPU of compute capability 8.9 or more (torchao; not verified on one)",
            suits=f"weights of very uneven size; otherwise INT8 loses less at the same bytes; {_UNPACKS}",
            agreement=0.9,
            logit_error=0.4,
        ),
        Scheme(
            name="bf16",
            title="bfloat16",
            engines=("transformers",),
            bits=16,
            group=None,
            touches="everything",
            keeps="nothing; the exponent keeps its range, so nothing overflows",
            size="2 bytes a weight",
            needs="nothing",
            suits="half the bytes at almost no loss; faster where the processor computes in bfloat16",
            agreement=0.95,
            logit_error=0.1,
        ),
        Scheme(
            name="fp16",
            title="half precision",
            engines=("transformers",),
            bits=16,
            group=None,
            touches="everything",
            keeps="nothing; refused where a weight is beyond 65,504",
            size="2 bytes a weight",
            needs="nothing",
            suits="half the bytes, the closest to float; meant for GPUs (a CPU computes with it in float)",
            agreement=0.98,
            logit_error=0.05,
        ),
    )
}
GPU_ONLY = {("fp8", "torchao"): (8, 9)}
"""Scheme and engine that compute on NVIDIA GPUs alone, from this compute capability on."""
_ORDER = {"cpu": dict.fromkeys(("int8-dynamic", "int4-weight-only", "int8-weight-only"), "openvino")}
"""Where another engine than a scheme's first is better on a device, if it is installed."""


def find(name: str) -> Scheme:
    """The scheme of that name.

    Raises:
        InputError: there is none.
    """
    if name not in SCHEMES:
        raise InputError(f"There is no scheme {name!r}.", f"Choose one of: {', '.join(SCHEMES)}.")
    return SCHEMES[name]


def choose_engine(scheme: Scheme, engine: str = "auto", *, device: str = "cpu") -> Choice:
    """The asked engine, or for auto the one that suits the device, with the reason.

    Raises:
        InputError: that engine can't make that scheme, or not for that device.
    """
    from ..runtime.extras import runs

    kind = "cpu" if device in ("cpu", "auto") else "gpu"
    if engine != "auto":
        if engine not in scheme.engines:
            raise InputError(
                f"The engine {engine!r} can't make {scheme.name}.", f"Use --engine {' or '.join(scheme.engines)}."
            )
        if not computes(scheme, engine):
            raise InputError(
                f"{engine} computes {scheme.name} on NVIDIA GPUs of compute capability "
                f"{'.'.join(map(str, GPU_ONLY[scheme.name, engine]))} or more, and this machine has none.",
                f"Use --engine {scheme.engines[0]}.",
            )
        if kind == "gpu" and engine in CPU_ENGINES:
            raise InputError(f"{engine} runs on the CPU here, not on {device}.", "Leave out --device.")
        return Choice(engine, "as asked")
    if kind == "gpu":
        for each in scheme.engines:
            if (scheme.name, each) in GPU_ONLY and computes(scheme, each):
                return Choice(each, "this GPU multiplies these numbers as they are")
    better = _ORDER.get(kind, {}).get(scheme.name)
    if better and runs(better):
        return Choice(better, f"{better} computes with these weights as they are, which is fastest on this device")
    first = scheme.engines[0]
    if first in CPU_ENGINES:
        return Choice(first, "the only engine for this scheme")
    return Choice(first, "a PyTorch folder that transformers loads everywhere")


def candidates(scheme: Scheme, engine: str = "auto", *, device: str = "cpu") -> list[Choice]:
    """The engines to try, in that order: for auto on a CPU the preferred one, then the others that are installed.

    Raises:
        InputError: as `choose_engine`.
        MissingExtra: the engine (for auto: every engine) of the scheme is not installed.
    """
    from ..runtime.extras import runs

    first = choose_engine(scheme, engine, device=device)
    if engine != "auto" or device not in ("cpu", "auto"):
        refuse_missing(scheme, first.engine)
        return [first]
    others = [other for other in offered(scheme) if other != first.engine]
    rest = [Choice(other, "installed, and the next in line") for other in others]
    found = [choice for choice in (first, *rest) if runs(choice.engine)]
    if not found:
        refuse_missing(scheme, first.engine)
    return found


def offered(scheme: Scheme) -> list[str]:
    """The engines that make a scheme on any machine, installed or not."""
    return [engine for engine in scheme.engines if (scheme.name, engine) not in GPU_ONLY]


def computes(scheme: Scheme, engine: str) -> bool:
    """Whether this machine has the GPU that a scheme needs with an engine; True where it needs none."""
    least = GPU_ONLY.get((scheme.name, engine))
    if least is None:
        return True
    import torch

    return torch.cuda.is_available() and torch.version.hip is None and torch.cuda.get_device_capability() >= least


def refuse_missing(scheme: Scheme, engine: str) -> None:
    """
    Raises:
        MissingExtra: the engine can't be used here; the message names what is not installed.
    """
    from ..runtime.extras import ENGINES, require

    if engine in ENGINES:
        require(ENGINES[engine], f"{engine} makes {scheme.name}")
