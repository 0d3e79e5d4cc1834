"""Makes the practice model: `python -m qtinker.ui.practice`. A tiny BERT with random weights and the sample's
vocabulary, so that the whole way can be tried with an empty registry and no network.
"""

from __future__ import annotations

import json
import shutil
import sys

from .. import registry
from ..errors import QTinkerError

NAME, GROUP = "practice-bert", "bert_small"


def make() -> str:
    """Put the model into the registry; returns its name. It is made anew where it is broken, else kept."""
    from ..demo import untrained

    found = registry.find(f"{GROUP}/{NAME}")
    if found is None or found.broken:
        source = untrained(seed=42)
        with registry.staged(GROUP, NAME, replace=found is not None) as folder:
            for path in source.iterdir():
                if path.is_file() and path.name != registry.model_folder.META:
                    shutil.copy2(path, folder)
            registry.write_meta(folder, {
                "name": NAME, "kind": "pretrained", "licence": "Apache-2.0",
                "source": {"name": "random weights, for practice"},
            })  # fmt: skip
    return NAME


if __name__ == "__main__":
    try:
        print(json.dumps({"name": make()}))
    except QTinkerError as error:
        print(error, file=sys.stderr)
        sys.exit(error.exit_status)
