"""The child that holds models open: `python -m qtinker.ui.answerer` reads one JSON request a line, answers one a line.

Requests: {"op": "predict", "models": [[name, folder]], "text": ..., "pair": ...} and
{"op": "disagree", "models": [[name, folder], [name, folder]], "data": ..., "limit": ...}.
It ends by itself when nobody has asked for a while, or when its parent is gone.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections import OrderedDict
from typing import Any

IDLE_SECONDS = 600.0
OPEN_MODELS = 6
_open: OrderedDict[str, Any] = OrderedDict()


def predictor(folder: str) -> Any:
    """The model in the folder, opened once."""
    from ..predict import Predictor

    found = _open.pop(folder, None)
    if found is None:
        found = Predictor(folder)
        found.predict(["warm up"] if not getattr(found.runtime, "pair", False) else [("warm", "up")])
    _open[folder] = found
    while len(_open) > OPEN_MODELS:
        _open.popitem(last=False)
    return found


def predict(request: dict[str, Any]) -> dict[str, Any]:
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


def disagree(request: dict[str, Any]) -> dict[str, Any]:
    """Examples of the evaluation data on which the first two models answer differently, the surest first."""
    from ..data.loading import load_examples
    from ..spec import DataSpec

    loaded = load_examples(DataSpec(train=request["data"]), seed=42)
    examples = loaded.eval
    count = min(len(examples), int(request["limit"]))
    texts: list[Any] = [examples.texts[i] for i in range(count)]
    if examples.pairs is not None:
        texts = [(text, examples.pairs[i]) for i, text in enumerate(texts)]
    first, second = [predictor(folder).predict(texts) for _, folder in request["models"][:2]]
    rows = []
    for index, (one, other) in enumerate(zip(first, second, strict=True)):
        if one.get("label") == other.get("label"):
            continue
        label = int(examples.labels[index])
        rows.append(
            {
                "text": one["text"],
                "pair": one.get("pair"),
                "true": loaded.labels[label] if label >= 0 else None,
                "first": one["label"],
                "first_score": one["score"],
                "second": other["label"],
                "second_score": other["score"],
            }
        )
    rows.sort(key=lambda row: -min(row["first_score"], row["second_score"]))
    return {"examples": count, "different": len(rows), "rows": rows[:50]}


def main() -> None:
    """Answer until the input ends or nobody asks any more."""
    from ..errors import QTinkerError

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
        try:
            request = json.loads(line)
            answer = {"predict": predict, "disagree": disagree}[request["op"]](request)
        except QTinkerError as error:
            answer = {"error": error.message, "fix": error.fix}
        except Exception as error:
            import traceback

            traceback.print_exc()
            answer = {"error": f"{type(error).__name__}: {' '.join(str(error).split())}", "fix": ""}
        out.write(json.dumps(answer, ensure_ascii=False, default=str) + "\n")
        out.flush()
        last = time.monotonic()


if __name__ == "__main__":
    main()
