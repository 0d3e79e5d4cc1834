"""How long a TensorFlow checkpoint of BERT-Large's shape takes to become a Hugging Face folder, over plain copying.

    python benchmarks/conversion.py --home DIR [--small]

The checkpoint is generated (random values, 1.3 GB); both jobs end with the bytes on the disk (fsync) and are done three
times in turn, the fastest of each counts. Writes benchmarks/results/conversion.md; `--small` takes a small BERT and
writes nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "app"), str(ROOT / "tests" / "unit")]
TIMES = 3


class Variables(Mapping[str, Any]):
    """A BERT encoder's variables, made when asked for."""

    def __init__(self, config: dict[str, Any]) -> None:
        from qtinker.convert import _encoder

        self._shapes = {tensor.variable: tensor.shape for tensor in _encoder(config)}

    def __getitem__(self, name: str) -> np.ndarray:
        random = np.random.Generator(np.random.SFC64(len(name)))
        return random.standard_normal(self._shapes[name], np.float32)

    def __iter__(self) -> Iterator[str]:
        return iter(self._shapes)

    def __len__(self) -> int:
        return len(self._shapes)


def main() -> None:
    """Generate, copy, convert, compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--home", required=True, type=Path, help="a folder on the disk that is to be measured")
    parser.add_argument("--small", action="store_true")
    args = parser.parse_args()
    from qtinker.convert import convert, read_google_config
    from tf_bundle import write_bundle

    layers, hidden = (4, 256) if args.small else (24, 1024)
    source = args.home / f"uncased_L-{layers}_H-{hidden}_A-{hidden // 64}"
    source.mkdir(parents=True, exist_ok=True)
    config = {
        "vocab_size": 30522, "hidden_size": hidden, "num_hidden_layers": layers, "num_attention_heads": hidden // 64,
        "intermediate_size": 4 * hidden, "max_position_embeddings": 512, "type_vocab_size": 2,
    }  # fmt: skip
    (source / "bert_config.json").write_text(json.dumps(config), encoding="utf-8")
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    words = [*special, *(f"w{number}" for number in range(30522 - len(special)))]
    (source / "vocab.txt").write_text("\n".join(words), encoding="utf-8")
    write_bundle(source / "bert_model.ckpt", Variables(read_google_config(source)))
    data = source / "bert_model.ckpt.data-00000-of-00001"
    seconds: dict[str, list[float]] = {"copy": [], "convert": []}
    for _ in range(TIMES):
        for name in seconds:
            out = args.home / f"out-{name}"
            shutil.rmtree(out, ignore_errors=True)
            out.mkdir()
            start = time.perf_counter()
            if name == "copy":
                shutil.copyfile(data, out / "data")
            else:
                convert(source, out)
            for path in out.iterdir():
                with path.open("rb+") as file:
                    os.fsync(file.fileno())
            seconds[name].append(time.perf_counter() - start)
            shutil.rmtree(out)
    shutil.rmtree(source)
    size, best = (
        sum(np.prod(s) for s in Variables(config)._shapes.values()) * 4,
        {n: min(s) for n, s in seconds.items()},
    )
    text = (
        "# Conversion from TensorFlow to safetensors\n\n"
        f"Made by `python benchmarks/conversion.py --home DIR`: {layers} layers of {hidden}, {size / 1e9:.2f} GB. "
        f"Copying the checkpoint and flushing it to the disk took {best['copy']:.2f} s "
        f"({size / best['copy'] / 1e9:.2f} GB/s), converting it and flushing {best['convert']:.2f} s "
        f"({size / best['convert'] / 1e9:.2f} GB/s): {best['convert'] / best['copy']:.2f} times as long. Fastest of "
        f"{TIMES} each, in turn; the checkpoint was in the system's cache.\n"
    )
    print(text)
    if not args.small:
        (ROOT / "benchmarks" / "results" / "conversion.md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
