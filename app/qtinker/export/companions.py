"""What a folder for another library needs beside its graph: config, tokenizer, and a runnable example."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def write_companions(runtime: Any, folder: Path, *, example: str) -> None:
    """What a folder needs beside its graph: config, tokenizer, and an example in the target's own library."""
    runtime.tokenizer.save_pretrained(folder)
    config = json.loads(runtime.model.config.to_json_string(use_diff=False))
    config.pop("quantization_config", None)
    config["architectures"] = [type(runtime.model).__name__]
    (folder / "config.json").write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    if not (folder / "tokenizer.json").is_file():
        return
    tokenizer = runtime.tokenizer
    text = example
    for key, value in (
        ("{max_length}", str(runtime.max_length)),
        ("{pad_id}", str(runtime.pad_token_id)),
        ("{pad_token!r}", repr(tokenizer.pad_token)),
    ):
        text = text.replace(key, value)
    (folder / "example.py").write_text(text, encoding="utf-8")
