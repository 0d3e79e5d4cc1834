"""How the memory of a training grows with its data: the same few steps on more and more generated rows.

    python benchmarks/memory.py --home DIR [--rows 10000,100000,1000000] [--forms texts,words]

Each row of the table is a run of its own in a process of its own: read the file, tokenize it, ask a tiny teacher about
every row, train a tiny student for 20 steps. The process is looked at ten times a second. Its own memory is what no
file backs (resident less shared); mapped files, which the system may drop at any time, count in the resident memory
only. What is done is not repeated. Writes benchmarks/results/memory.md and .json.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "app"))
STEPS = 20


def main() -> None:
    """Run what is missing, then write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--home", required=True, type=Path, help="where models, data and runs are kept")
    parser.add_argument("--rows", default="10000,100000,1000000", type=lambda text: [int(n) for n in text.split(",")])
    parser.add_argument("--forms", default="texts,words", type=lambda text: text.split(","))
    parser.add_argument("--again", action="store_true", help="repeat what is done")
    args = parser.parse_args()
    os.environ["QTINKER_HOME"] = str(args.home.resolve())
    store = args.home / "memory.json"
    args.home.mkdir(parents=True, exist_ok=True)
    done: dict[str, Any] = json.loads(store.read_text()) if store.is_file() and not args.again else {}
    for form in args.forms:
        for rows in args.rows:
            key = f"{form} {rows}"
            if key not in done:
                done[key] = measured(args.home, form, rows)
                store.write_text(json.dumps(done, indent=1))
                print(key, done[key], file=sys.stderr, flush=True)
    out = ROOT / "benchmarks" / "results"
    out.mkdir(exist_ok=True)
    (out / "memory.json").write_text(json.dumps(done, indent=1) + "\n", encoding="utf-8")
    (out / "memory.md").write_text(written(done), encoding="utf-8")
    print(written(done))


def measured(home: Path, form: str, rows: int) -> dict[str, Any]:
    """One run in a process of its own, and the most memory that it had, by phase."""
    file = generated(home, form, rows)
    command = [sys.executable, "-c", _CHILD, str(ROOT / "app"), str(home.resolve()), str(file), form, str(STEPS)]
    start = time.monotonic()
    with (home / f"{form}-{rows}.log").open("w") as log:
        child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True)
        process, phase, peaks = psutil.Process(child.pid), "start", {}
        os.set_blocking(child.stdout.fileno(), False)  # type: ignore[union-attr]
        while child.poll() is None:
            for line in iter(child.stdout.readline, ""):  # type: ignore[union-attr]
                phase = line.strip() or phase
            try:
                memory = process.memory_info()
            except psutil.Error:
                break
            own = memory.rss - getattr(memory, "shared", 0)
            before = peaks.get(phase, (0, 0))
            peaks[phase] = (max(before[0], own), max(before[1], memory.rss))
            time.sleep(0.1)
    if child.wait():
        sys.exit(f"The run failed; see {home / f'{form}-{rows}.log'}")
    return {
        "own_bytes": max(own for own, _ in peaks.values()),
        "resident_bytes": max(resident for _, resident in peaks.values()),
        "phases": {name: own for name, (own, _) in peaks.items()},
        "file_bytes": file.stat().st_size,
        "seconds": round(time.monotonic() - start, 1),
    }


def generated(home: Path, form: str, rows: int) -> Path:
    """A file of so many different sentences of about twelve words."""
    file = home / f"{form}-{rows}.{'csv' if form == 'texts' else 'conll'}"
    if file.is_file():
        return file
    choose = random.Random(rows)
    words = [word for word in _words() if word.isalpha()]
    staging = file.with_suffix(".part")
    with staging.open("w", encoding="utf-8") as out:
        if form == "texts":
            out.write("text,label\n")
        for number in range(rows):
            sentence = choose.choices(words, k=choose.randint(6, 16))
            if form == "texts":
                out.write(f"{' '.join(sentence)} {number},{'yes' if number % 2 else 'no'}\n")
            else:
                out.writelines(f"{word}\t{'B-X' if len(word) > 6 else 'O'}\n" for word in sentence)
                out.write("\n")
    staging.replace(file)
    return file


def _words() -> list[str]:
    from qtinker.data.sample import vocabulary

    return vocabulary()[5:]


_CHILD = """
import sys
sys.path.insert(0, sys.argv[1])
home, file, form, steps = sys.argv[2:6]
from pathlib import Path
import torch, transformers
torch.set_num_threads(1)
import qtinker
from qtinker import checkpoint, tasks
from qtinker.data.sample import tokenizer
kind = "classification" if form == "texts" else "token-classification"
task = tasks.TASKS[kind](("no", "yes") if form == "texts" else ("O", "B-X"))
cut = tokenizer()
for name in ("teacher", "student"):
    folder = Path(home) / f"{name}-{form}"
    if not (folder / "qtinker.json").is_file():
        config = transformers.BertConfig(
            vocab_size=len(cut), hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32,
            max_position_embeddings=64, **task.head_config(),
        )
        model = getattr(transformers, task.head_class).from_config(config)
        checkpoint.save(model, cut, folder, meta={"name": name, "kind": "finetuned", "task": task.to_meta()})
def tell(event):
    if event["kind"] == "phase":
        print(event["phase"], flush=True)
print("loaded", flush=True)
qtinker.distill(
    teacher=str(Path(home) / f"teacher-{form}"), student=str(Path(home) / f"student-{form}"), data=file,
    eval_fraction=0.001, max_length=48, max_steps=int(steps), batch_size=32, threads=1, on_event=tell,
)
"""


def written(done: dict[str, Any]) -> str:
    """The table."""
    lines = [
        "# Memory by size of the data", "",
        f"Made by `python benchmarks/memory.py --home DIR` on {platform.machine()}: a tiny teacher and student, so "
        "that the data is what counts; generated sentences of about twelve words. Before: as the process was when it "
        "had read no data yet.", "",
        "| data | rows | file, MB | own memory before, MB | own memory at most, MB | more a row, bytes | in phase | "
        "resident at most, MB | seconds |",
        "|---|---|---|---|---|---|---|---|---|",
    ]  # fmt: skip
    for key, row in done.items():
        form, rows = key.split()
        base = row["phases"].get("loaded", 0)
        where = max(row["phases"], key=lambda name: row["phases"][name])
        own = row["own_bytes"]
        lines.append(
            f"| {form} | {int(rows):,} | {row['file_bytes'] / 1e6:.1f} | {base / 1e6:.0f} | {own / 1e6:.0f} "
            f"| {(own - base) / int(rows):,.0f} | {where} | {row['resident_bytes'] / 1e6:.0f} "
            f"| {row['seconds']:.0f} |"
        )
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    main()
