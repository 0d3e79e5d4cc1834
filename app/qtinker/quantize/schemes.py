"""The schemes: what each one touches, what it needs, what it promises. Torch-free, so that every border can show it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from ..errors import InputError


@dataclass(frozen=True)
class Scheme:
    """One way to make a model smaller.

    Attributes:
        engines: engines that can make it, the preferred one first.
        bits: bits a weight of the layers it touches, scales not counted.
        group: weights that share one scale; None: a whole row (output channel, or one token's embedding) does.
        touches, keeps, size, needs, suits: words for the user.
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

    def weight_bytes(self, rows: int, columns: int, *, group: int | None = None) -> int:
        """Bytes of one matrix [rows, columns] by the size formula, scales and zero points included."""
        if self.bits == 8:
            return rows * columns + 5 * rows
        groups = columns // (group or self.group or columns)
        return rows * columns * self.bits // 8 + rows * groups * 2 + -(-rows // 8) * 4 * groups

    def to_dict(self) -> dict[str, Any]:
        """Plain data, for JSON and the page."""
        return asdict(self)


_KEEPS = "LayerNorm, biases, pooler and classifier stay float"
SCHEMES: dict[str, Scheme] = {
    scheme.name: scheme
    for scheme in (
        Scheme(
            name="int8-dynamic",
            title="INT8, activations quantized on the fly",
            engines=("torchao",),
            bits=8,
            group=None,
            touches="Linear layers of the encoder (int8 weights, int8 activations with one scale a token) and all "
            "embeddings (int8 weights)",
            keeps=_KEEPS,
            size="1 byte a weight + 5 bytes a row (scale and zero point)",
            needs="torchao; nothing to calibrate",
            suits="large encoders; on a CPU the matrices must be big before it is faster than float",
            agreement=0.9,
            logit_error=0.15,
        ),
        Scheme(
            name="int4-weight-only",
            title="INT4 weights in groups",
            engines=("compressed-tensors",),
            bits=4,
            group=32,
            touches="Linear layers of the encoder and all embeddings: 4 bits a weight, packed, with a 2-byte scale and "
            "a 4-bit zero point for each group of 32 weights (fewer where 32 does not divide the widths)",
            keeps=_KEEPS + " (pooler and classifier are written in half precision)",
            size="half a byte a weight + 2.5 bytes a group",
            needs="compressed-tensors (transformers loads it by itself); nothing to calibrate",
            suits="the smallest file to ship; weights unpack to float on loading, so speed and memory are the float "
            "model's, and small encoders lose more than large ones",
            agreement=0.75,
            logit_error=0.5,
        ),
    )
}


def find(name: str) -> Scheme:
    """The scheme of that name.

    Raises:
        InputError: there is none.
    """
    if name not in SCHEMES:
        raise InputError(f"There is no scheme {name!r}.", f"Choose one of: {', '.join(SCHEMES)}.")
    return SCHEMES[name]


def choose_engine(scheme: Scheme, engine: str = "auto") -> str:
    """The engine that makes the scheme: the asked one, or for auto the preferred one.

    Raises:
        InputError: that engine can't make that scheme.
    """
    if engine == "auto":
        return scheme.engines[0]
    if engine not in scheme.engines:
        raise InputError(
            f"The engine {engine!r} can't make {scheme.name}.", f"Use --engine {' or '.join(scheme.engines)}."
        )
    return engine
