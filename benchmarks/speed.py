"""How fast a distillation is, beside a widely used toolkit and transformers.Trainer, and how near to the machine.

    python benchmarks/speed.py --home DIR [--rows NAMES] [--again] [--only-done] [--small]

A BERT-base-shaped teacher and a BERT-small-shaped student with random weights, SST-2's texts, batches of 32, one
thread. Each row is measured in a process of its own, on a sample of steps after a warm-up, with a plain matrix product
timed in turn; a row that is done is not repeated, so the benchmark may be stopped and started again. TextBrewer 0.2.1
is installed into an environment of its own under DIR. The data folder is $QTINKER_TEST_DATA, or shared/data beside the
checkout. Writes benchmarks/results/speed.md and .json; `--small` takes tiny models and few steps, to see that
everything runs, and writes nothing. `--rows` takes the rows whose names hold one of the words, separated by commas.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import platform
import subprocess
import sys
import time
import venv
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "app"))
HERE = Path(__file__).resolve().parent
METHODS = ("logit", "patient", "feature")
SHAPES = {"base": (12, 768), "small": (4, 512), "mini": (4, 256), "tiny": (2, 128)}
EPOCHS = 3
GROWTH = (1_000, 10_000, 100_000)


def main() -> None:
    """Measure what is missing, then write the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--home", required=True, type=Path, help="where models, environment and rows are kept")
    parser.add_argument("--rows", default="", help="only rows whose name holds one of these words")
    parser.add_argument("--again", action="store_true", help="measure rows anew that are done")
    parser.add_argument("--only-done", action="store_true", help="measure nothing: write the tables of what is done")
    parser.add_argument("--small", action="store_true", help="tiny models and few steps, nothing written")
    args = parser.parse_args()
    args.home = args.home.resolve()
    args.home.mkdir(parents=True, exist_ok=True)
    os.environ["QTINKER_HOME"] = str(args.home)
    data = Path(os.environ.get("QTINKER_TEST_DATA", ROOT.parent / "shared" / "data"))
    if not (data / "sst2").is_dir():
        sys.exit("The benchmark needs the SST-2 files: see the first lines of benchmarks/speed.py.")
    store = args.home / ("speed-small.json" if args.small else "speed.json")
    done: dict[str, Any] = json.loads(store.read_text(encoding="utf-8")) if store.is_file() else {}
    words = [word for word in args.rows.split(",") if word]
    for name, job in jobs(args, data).items():
        wanted = not words or any(word in name for word in words)
        if args.only_done or not wanted or (name in done and not args.again):
            continue
        row = measured(job, args)
        if row is not None:
            done[name] = {**row, "when": time.strftime("%Y-%m-%d %H:%M")}
            store.write_text(json.dumps(done, indent=1), encoding="utf-8")
        print(name, json.dumps({key: value for key, value in (row or {}).items() if key != "profile"}), file=sys.stderr)
    from speed_report import report

    text = report(done, METHODS, EPOCHS, machine())
    print(text)
    if not args.small:
        out = ROOT / "benchmarks" / "results"
        out.mkdir(exist_ok=True)
        (out / "speed.md").write_text(text, encoding="utf-8")
        (out / "speed.json").write_text(json.dumps(done, indent=1) + "\n", encoding="utf-8")


def jobs(args: argparse.Namespace, data: Path) -> dict[str, dict[str, Any]]:
    """Every row by its name."""
    small = args.small
    big, little, least = ("mini", "tiny", "tiny") if small else ("base", "small", "tiny")
    common = {
        "data": str(data / "sst2" / "train.tsv"), "eval": str(data / "sst2" / "dev.tsv"), "home": str(args.home),
        "teacher": big, "student": little, "precision": "fp32", "method": "logit", "vocabulary": str(data / "vocab"),
    }  # fmt: skip
    found: dict[str, dict[str, Any]] = {}
    for method in METHODS:
        each = {**common, "method": method}
        found[f"textbrewer {method} fp32"] = {
            **each, "rival": "textbrewer", "steps": 3 if small else 8, "warm_up": 1 if small else 2
        }  # fmt: skip
        for precision in ("fp32", "bf16"):
            found[f"trainer {method} {precision}"] = {
                **each, "rival": "trainer", "precision": precision, "steps": 3 if small else 16, "warm_up": 2
            }  # fmt: skip
        for precision in ("auto", "fp32"):
            shared = {**each, "precision": precision, "epochs": EPOCHS}
            found[f"qtinker {method} {precision} teacher"] = {
                **shared,
                "what": "teacher",
                "examples": 300 if small else 3200,
            }
            found[f"qtinker {method} {precision} steps"] = {**shared, "what": "steps", "steps": 12 if small else 120}
    base = {**common, "precision": "auto", "epochs": EPOCHS, "what": "steps"}
    found["qtinker base-wide student steps"] = {
        **base, "teacher": None, "method": None, "student": big, "steps": 6 if small else 40
    }  # fmt: skip
    found["qtinker whole run"] = {
        **base,
        "what": "run",
        "data": str(sample_of(args, data, 320 if small else 3200)),
        "precision": "auto",
    }
    for count in GROWTH[: 1 if small else None]:
        found[f"qtinker growth {count}"] = {
            **base, "what": "run", "teacher": "mini", "student": least, "data": str(sample_of(args, data, count)),
            "epochs": 1,
        }  # fmt: skip
    for what in ("teacher", "steps"):
        found[f"profile logit {what}"] = {
            **base,
            "what": what,
            "examples": 200 if small else 800,
            "steps": 5 if small else 30,
            "profile": True,
        }
    found["profile base-wide student steps"] = {
        **base, "teacher": None, "method": None, "student": big, "steps": 3 if small else 10, "profile": True
    }  # fmt: skip
    return found


def measured(job: dict[str, Any], args: argparse.Namespace) -> dict[str, Any] | None:
    """One row, in a process of its own; None, and a word on stderr, where it could not be measured."""
    python, script = sys.executable, "speed_qtinker.py"
    if "rival" in job:
        script = "speed_rivals.py"
    if job.get("rival") == "textbrewer":
        python = rival_python(args.home)
    paths = {role: str(random_bert(job[role], Path(job["vocabulary"]))) for role in ("teacher", "student") if job[role]}
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
    done = subprocess.run(
        [python, str(HERE / script), json.dumps({**job, **paths})], env=environment, capture_output=True, text=True,
        encoding="utf-8", errors="replace", check=False,
    )  # fmt: skip
    if done.returncode:
        print(done.stderr[-3000:], file=sys.stderr)
        return None
    row: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return row


def rival_python(home: Path) -> str:
    """Python of an environment with TextBrewer 0.2.1 and this one's torch and transformers, made if it isn't there."""
    from importlib.metadata import version

    folder = home / "textbrewer"
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    if not (folder / "ready").is_file():
        venv.create(folder, with_pip=True, clear=True)
        wanted = [f"torch=={version('torch').split('+')[0]}", f"transformers=={version('transformers')}"]
        subprocess.run([str(python), "-m", "pip", "install", "-q", *wanted, "textbrewer==0.2.1"], check=True)
        (folder / "ready").touch()
    return str(python)


def random_bert(size: str, vocabularies: Path) -> Path:
    """A two-class BERT of this shape with random weights and the uncased vocabulary, in the registry."""
    from qtinker import home

    place = home.models_dir() / "finetuned" / f"speed-{size}"
    if place.is_dir():
        return place
    import torch
    import transformers
    from qtinker import checkpoint, registry

    layers, hidden = SHAPES[size]
    torch.manual_seed(0)
    words = (vocabularies / "bert-base-uncased.vocab.txt").read_text(encoding="utf-8").splitlines()
    config = transformers.BertConfig(
        vocab_size=len(words), hidden_size=hidden, num_hidden_layers=layers, num_attention_heads=hidden // 64,
        intermediate_size=4 * hidden, id2label={0: "0", 1: "1"}, label2id={"0": 0, "1": 1},
    )  # fmt: skip
    tokenizer = transformers.BertTokenizer(vocab={word: number for number, word in enumerate(words)})
    task = {"type": "classification", "labels": ["0", "1"], "pair": False, "metric": "accuracy"}
    meta = {"name": f"speed-{size}", "kind": "finetuned", "task": task, "max_length": 128}
    with registry.staged("finetuned", f"speed-{size}") as folder:
        checkpoint.save(transformers.BertForSequenceClassification(config), tokenizer, folder, meta=meta)
    return place


def sample_of(args: argparse.Namespace, data: Path, count: int) -> Path:
    """A table of so many different texts of SST-2; beyond its rows, texts get the first word of another in front."""
    from speed_common import read_rows

    path = args.home / f"texts-{count}.tsv"
    if path.is_file():
        return path
    rows = list(dict(read_rows(data / "sst2" / "train.tsv")).items())
    while len(rows) < count:
        rows += [(f"{rows[-at][0].split()[0]} {text}", label) for at, (text, label) in enumerate(rows, 1)]
        rows = list(dict(rows).items())
    step = len(rows) / count
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, delimiter="\t", quoting=csv.QUOTE_NONE, quotechar=None, lineterminator="\n")
        writer.writerow(["sentence", "label"])
        writer.writerows(rows[int(number * step)] for number in range(count))
    return path


def machine() -> str:
    """In words."""
    from qtinker.evaluate import cpu_features, cpu_name

    return f"{cpu_name()} ({platform.machine()}; {', '.join(cpu_features())})"


if __name__ == "__main__":
    main()
