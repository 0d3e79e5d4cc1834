"""A child of the page: `python -m qtinker.ui.answerer` reads one JSON request a line, answers one a line.

It does what would block the page or could take it along when memory runs out: reading data (`preview`, `check`,
`create`) and running models (`predict`, `disagree`). Each function below is an operation, named by "op".
It ends by itself when nobody has asked for a while, or when its parent is gone.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections import OrderedDict
from dataclasses import asdict
from pathlib import Path
from typing import Any

IDLE_SECONDS = 600.0
OPEN_MODELS = 6
_open: OrderedDict[str, tuple[Any, Any]] = OrderedDict()  # by folder: its files when it was opened, and the model
Request = dict[str, Any]


def predictor(folder: str) -> Any:
    """The model in the folder, opened once, and anew when another model has come there since."""
    from ..predict import Predictor

    files = files_of(folder)
    before, found = _open.pop(folder, (None, None))
    if found is None or before != files:
        found = Predictor(folder)
    _open[folder] = files, found
    while len(_open) > OPEN_MODELS:
        _open.popitem(last=False)
    return found


def files_of(folder: str) -> list[tuple[str, int, int]]:
    """Name, time and size of each file in a folder: what tells one model in it from the next."""
    if not Path(folder).is_dir():
        return []
    found = [(path.name, path.stat()) for path in Path(folder).iterdir()]
    return sorted((name, stat.st_mtime_ns, stat.st_size) for name, stat in found)


def predict(request: Request) -> dict[str, Any]:
    """One text through several models: probabilities and milliseconds (the best of three, tokens included)."""
    text = (request["text"], request["pair"]) if request.get("pair") else request["text"]
    answers = []
    for name, folder in request["models"]:
        model = predictor(folder)
        times, answer = [], {}
        for _ in range(3):
            start = time.perf_counter()
            answer = model.predict([text])[0]
            times.append(1000 * (time.perf_counter() - start))
        answers.append({"name": name, "ms": min(times), **answer})
    return {"answers": answers}


def disagree(request: Request) -> dict[str, Any]:
    """Examples on which the first two models answer differently, the surest first; the data as `evaluate` takes it."""
    from .. import evaluate
    from ..spec import DataSpec
    from . import differences

    folders = [Path(folder) for _, folder in request["models"][:2]]
    differences.refuse(evaluate.same_kind(folders))
    names = evaluate.labels_of(folders[0])  # in which it answers too
    data = DataSpec(train=request["data"])
    examples, _, _ = evaluate.examples_for(data, folders[0], names, most=int(request["limit"]))
    texts: list[Any] = list(examples.texts)
    if examples.pairs is not None:
        texts = list(zip(examples.texts, examples.pairs, strict=True))
    first, second = [predictor(str(folder)).predict(texts) for folder in folders]
    rows = differences.between(first, second, examples, tuple(names))
    return {"examples": len(examples), "different": len(rows), "rows": rows[: differences.SHOWN]}


def preview(request: Request) -> dict[str, Any]:
    """What training would see of the data: the verb `data`."""
    from .. import api

    return api.data(request["data"], tokenizer=request.get("tokenizer"), **request["settings"])


def check(request: Request) -> dict[str, Any]:
    """Everything that would go wrong with a spec, and what it will cost."""
    from .. import check as checking
    from ..spec import RunSpec

    return checking.preflight(RunSpec.parse(request["spec"])).to_dict()


def create(request: Request) -> dict[str, Any]:
    """Check a spec and make its run folder; nothing is started."""
    from .. import api

    return {"id": api.create_run(request["spec"]).id}


OPERATIONS = {each.__name__: each for each in (predict, disagree, preview, check, create)}


def answer_to(request: Request) -> dict[str, Any]:
    """The answer, or what went wrong in words."""
    from ..errors import QTinkerError, SpecError

    try:
        return OPERATIONS[request["op"]](request)
    except SpecError as error:
        return {"error": str(error), "problems": [asdict(each) for each in error.problems]}
    except QTinkerError as error:
        return {"error": error.message, "fix": error.fix}
    except MemoryError:
        return {"error": "There is not enough memory.", "fix": "Close other programs, or take a smaller part of it."}
    except Exception as error:
        import traceback

        traceback.print_exc()
        return {"error": f"{type(error).__name__}: {' '.join(str(error).split())}", "fix": ""}


def main() -> None:
    """Answer until the input ends or nobody asks any more."""
    out = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # whatever prints must not mix with the answers
    os.environ.pop("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", None)
    last = time.monotonic()

    def watch() -> None:
        while time.monotonic() - last < IDLE_SECONDS:
            time.sleep(5)
        os._exit(0)

    threading.Thread(target=watch, daemon=True).start()
    for line in sys.stdin:
        last = time.monotonic() + 86_400  # not while working
        answer = answer_to(json.loads(line))
        out.write(json.dumps(answer, ensure_ascii=False, default=str) + "\n")
        out.flush()
        last = time.monotonic()


if __name__ == "__main__":
    main()
