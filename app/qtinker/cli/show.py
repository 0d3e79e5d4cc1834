"""How results look to people: each function prints what one verb returned."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from ..console import duration, number, table
from ..registry_page import count, size

Data = dict[str, Any]


def models(result: Data) -> None:
    """The registry, then the catalog."""
    if result["models"]:
        rows = [
            [
                each["full_name"], each["kind"], count(each["parameters"]) or "-", size(each["bytes"]),
                "broken: " + each["broken"] if each["broken"] else each["task"] or "no task yet",
            ]
            for each in result["models"]
        ]  # fmt: skip
        print("Here:\n")
        print(table(["model", "kind", "parameters", "size", "task"], rows, left=2))
    else:
        print("No models are here yet.")
    rows = [
        [
            each["name"], each["role"], each["shape"], "here" if each["here"] else size(each["download_bytes"]),
            each["licence"] or "-",
        ]
        for each in result["catalog"]
    ]  # fmt: skip
    print("\nTo fetch with: download NAME, or download --set recommended\n")
    print(table(["name", "role", "shape", "download", "licence"], rows, left=3))


def verified(result: Data) -> None:
    """A line a model."""
    for each in result["models"]:
        print(f"{each['name']}: {' '.join(each['problems']) or 'as recorded'}")
        if each["problems"]:
            print(f"  {how_anew(each['name'])}")
    if not result["models"]:
        print("No models are here yet.")


def how_anew(name: str) -> str:
    """How to have a model again whose files are not what they were."""
    from .. import catalog

    known = catalog.find(name.rpartition("/")[2])
    then = f"fetch it again: python3 app download {known.name}" if known else "make or import it again."
    return f"Unless you changed it yourself, remove it (python3 app models remove {name}), then {then}"


def downloaded(result: Data) -> None:
    """Where each model is."""
    for each in result["models"]:
        print(f"{each['name']}: {each['path']}")


def data(report: Data) -> None:
    """What training would see of a data set."""
    unit = "lines" if "format: plain text" in report["findings"] else "rows"
    rows = f"{report['rows']} {unit}" + (f", {report['dropped']} left out" if report["dropped"] else "")
    unlabelled = f" ({report['unlabelled']} without label)" if report["unlabelled"] else ""
    print(f"{report['source']}: {report['task']}{', pairs of texts' if report['pair'] else ''}, {rows}")
    print(f"{report['train']} to train on{unlabelled}, {report['eval']} to evaluate on")
    columns = report["columns"]
    print("Columns: " + ", ".join(f"{use.replace('_', ' ')}: {name}" for use, name in columns.items() if name) + "\n")
    classes = sorted(report["classes"], key=lambda each: -each["train"])
    whole = sum(each["train"] for each in classes) or 1
    shown = [[each["label"], str(each["train"]), f"{each['train'] / whole:.1%}", str(each["eval"])] for each in classes]
    if shown:
        print(table(["class", "train", "share", "evaluation"], shown[:20]))
    if len(shown) > 20:
        print(f"... and {len(shown) - 20} more classes")
    if scores := report.get("scores"):
        print("Numbers: " + ", ".join(f"{name} {number(value, 3)}" for name, value in scores.items()))
    lengths = report["lengths"]
    print(f"\nLength in {lengths['unit']}: mean {lengths['mean']}, " + ", ".join(
        f"{name} {value}" for name, value in lengths["percentiles"].items()
    ))  # fmt: skip
    if lengths["cut"]:
        print(f"{lengths['cut']} texts are longer than {lengths['max_length']} tokens and are cut.")
    print("\nExamples:")
    for each in report["examples"]:
        pair = f" || {each['text_pair']}" if each["text_pair"] else ""
        label = shorten(each["label"] or "no label", 60)
        print(f"  [{label}] {shorten(each['text'] + pair)}")
    for line in report["findings"]:
        print(f"- {line}")
    for line in report["warnings"]:
        print(f"warning: {line}")


def shorten(text: str, length: int = 100) -> str:
    """A text on one line, cut where it is long."""
    line = " ".join(text.split())
    return line if len(line) <= length else line[: length - 3] + "..."


def run(report: Data) -> None:
    """What a finished run came to."""
    roles = {} if "teacher" in report else {"student": "model"}  # finetuned
    metrics = {roles.get(who, who): found for who, found in (report.get("metrics") or {}).items() if found}
    if metrics:
        names = list(dict.fromkeys(name for found in metrics.values() for name in found))
        rows = [[who, *(number(found.get(name)) for name in names)] for who, found in metrics.items()]
        print(table(["", *(name.replace("_", "-") for name in names)], rows))
        if judge := report.get("judge"):
            print(f"\nNo evaluation example has a label: this tells how well answers agree with those of {judge}.")
    if report.get("retention") is not None:
        several = (report["spec"].get("teacher") or {}).get("also")
        teacher = f"its first teacher, {Path(report['teacher']).name}" if several else "teacher"
        print(f"\nRetention (student over {teacher}): {report['retention']:.1%}")
    if line := over_control(report):
        print(line)
    if report.get("examples_per_second"):
        print(f"Trained on {report['examples_per_second']:.0f} examples a second.")
    made = {each.get("path"): each.get("scheme") for each in report.get("quantized") or []}
    measured = {each.get("path"): each.get("metrics") or {} for each in report.get("models") or []}
    for path, scheme in made.items():
        score = measured.get(path, {}).get(report.get("metric") or "")
        told = f" ({str(report['metric']).replace('_', '-')} {score:.4f})" if score is not None else ""
        print(f"Quantized, {scheme}{told}: {path}")
    print(f"\nModel: {report.get('checkpoint')}\nRun: {report.get('run')}")


def over_control(report: Data) -> str:
    """What distilling gave over the same student without a teacher; nothing where there was no control."""
    metric = str(report.get("metric"))
    student, control = ((report.get("metrics") or {}).get(role, {}).get(metric) for role in ("student", "control"))
    if student is None or control is None:
        return ""
    gain = f"{student - control:+.4f} {metric.replace('_', '-')}"
    return f"Against the control, the same student without the teacher: {gain}."


def quantized(result: Data) -> None:
    """Where the new model is and how big."""
    before = f", from {size(result['source_bytes'])}" if result.get("source_bytes") else ""
    print(f"{result['name']}: {size(result.get('bytes'))}{before}\n{result['path']}")
    for line in result.get("findings") or []:
        print(f"- {line}")


def evaluation(result: Data) -> None:
    """Models side by side: how good, how big, how fast; then the bytes by part and the times in batches."""
    print(models_table(result["models"]))
    print(f"\n{parts_table(result['models'], (result.get('settings') or {}).get('batch_size'))}")
    found = result.get("environment") or {}
    features = ", ".join(found.get("cpu_features") or []) or found.get("cpu_capability")
    print(f"\nMeasured on {found.get('cpu')} ({features}), {found.get('threads')} thread(s).")
    for line in result.get("findings") or []:
        print(f"- {line}")


def parts_table(rows: list[Data], batch_size: int | None) -> str:
    """What the parts of each model weigh, and how long a batch takes."""
    parts = ["embeddings", "encoder", "head"]
    columns = ["model", "engine", *parts, f"batch of {batch_size}: p50 ms", "p95 ms", "as fast as its source"]
    cells = []
    for each in rows:
        weighs, batch = each.get("bytes_by_part") or {}, each.get("batch_latency_ms") or {}
        speedup = each.get("speedup")
        cells.append([
            each["name"], str(each.get("engine")), *(size(weighs.get(part)) or "-" for part in parts),
            number(batch.get("p50"), 2), number(batch.get("p95"), 2), "-" if speedup is None else f"{speedup:.2f}x",
        ])  # fmt: skip
    return table(columns, cells)


METRICS = {"macro_f1": "macro-F1", "micro_f1": "micro-F1", "f1": "F1"}


def models_table(rows: list[Data]) -> str:
    """The columns that every comparison of models has."""
    names = list({name: None for each in rows for name in each.get("metrics") or {} if name != "examples"})
    columns = ["model", *(METRICS.get(name, name.replace("_", " ")) for name in names), "retention", "agreement"]
    columns += ["size", "parameters", "p50 ms", "p95 ms", "examples/s", "memory"]
    cells = []
    for each in rows:
        metrics, latency = each.get("metrics") or {}, each.get("latency_ms") or {}
        cells.append([
            each["name"], *(number(metrics.get(name)) for name in names),
            "-" if each.get("retention") is None else f"{each['retention']:.1%}",
            "-" if each.get("agreement") is None else f"{each['agreement']:.1%}",
            size(each.get("bytes")) or "-", count(each.get("parameters")) or "-", number(latency.get("p50"), 2),
            number(latency.get("p95"), 2), number(each.get("examples_per_second"), 0),
            size(each.get("peak_memory_bytes")) or "-",
        ])  # fmt: skip
    used = [i for i in range(len(columns)) if i == 0 or any(row[i] != "-" for row in cells)]
    return table([columns[i] for i in used], [[row[i] for i in used] for row in cells])


def predictions(rows: list[Data]) -> None:
    """A line a text: answer, its place in the context where it has one, confidence, text; entities a line each."""
    for each in rows:
        if "entities" in each:
            found = [f"{entity['label']}\t{entity['score']:.3f}\t{entity['text']}" for entity in each["entities"]]
            print(shorten(each["text"], 200))
            print("\n".join(f"  {line}" for line in found) or "  no entity")
            continue
        answer = ", ".join(each["labels"]) or "(none)" if "labels" in each else each.get("label", each.get("answer"))
        answer = answer if answer is not None else each.get("filled", number(each.get("value")))
        if "answer" in each:
            answer = f"{answer}\t{each['start']}-{each['end']}" if answer else "(no answer)"
        confidence = f"{each['score']:.3f}" if each.get("score") is not None else ""
        print("\t".join(filter(None, [answer, confidence, shorten(each["text"], 200)])))


def runs(states: list[Data]) -> None:
    """A line a run."""
    if not states:
        print("No runs yet. Begin with: python3 app demo")
        return
    rows = [
        [
            each["id"], each["kind"], each["name"] or "-", each["status"], each["phase"] or "-",
            f"{each['progress'] or 0:.0%}", when(each["created"]),
        ]
        for each in states
    ]  # fmt: skip
    print(table(["id", "kind", "name", "status", "phase", "done", "created"], rows, left=5))


def when(seconds: float | None) -> str:
    """A Unix time as the clock on the wall showed it."""
    return "-" if seconds is None else time.strftime("%Y-%m-%d %H:%M", time.localtime(seconds))


def run_state(state: Data) -> None:
    """One run in full."""
    print(f"{state['id']}: {state['status']}{', ' + state['message'] if state['message'] else ''}")
    print(f"{state['kind']}, name: {state['name'] or '-'}, created {when(state['created'])}, folder {state['folder']}")
    if state["total_steps"]:
        eta = f", {duration(state['eta_s'])} left" if state["eta_s"] is not None else ""
        print(f"{state['phase']}: step {state['step']} of {state['total_steps']}{eta}")
    if state["error"]:
        print(f"{state['error'].get('message', '')} {state['error'].get('fix', '')}".strip())
    if state.get("report"):
        print()
        run(state["report"])
    elif state.get("log"):
        print(f"\nThe end of its log:\n{state['log'].rstrip()}")
    if state["status"] in ("stopped", "interrupted", "failed"):
        print(f"\nGo on with: python3 app runs resume {state['id']}")


def doctor(result: Data) -> None:
    """What was found; the problems go to standard error, where scripts look for them."""
    print(f"QTinker {result['qtinker']}, Python {result['python']}, {result['platform']}")
    print(f"Environment: {result['environment']}")
    for name, folder in result["folders"].items():
        print(f"{name.capitalize()}: {folder}")
    print(f"Free there: {size(result['free_bytes'])}")
    device = result["device"]
    if device:
        print("Device: " + ", ".join(f"{name} {value}" for name, value in device.items() if value is not None))
    print("Libraries: " + ", ".join(f"{name} {version or 'MISSING'}" for name, version in result["libraries"].items()))
    if result["ok"]:
        print("All is well.")


def demo(result: Data) -> None:
    """The closing table, where things are, and what to type next."""
    rows = [each | {"name": f"{each['name']} ({each['role']})"} for each in result["models"]]
    print(models_table(rows))
    for line in result["warnings"]:
        print(f"warning: {line}")
    print(
        f"\nThe best student is {result['best']}. Everything is in {result['folders']['home']}:\n"
        f"  models in bert_models/ (see MODEL_REGISTRY.md), runs in runs/: {', '.join(result['runs'])}\n\n"
        "What to type next:\n"
        f'  python3 app predict {result["best"]} "My parcel came, but the lamp is broken."\n'
        f"  python3 app runs show {result['runs'][-1]}\n"
        "  python3 app download --set recommended        real BERTs\n"
        "  python3 app data your.csv                     your own data"
    )
