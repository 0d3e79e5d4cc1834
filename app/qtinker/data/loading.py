"""From a DataSpec to training and evaluation examples, and words about everything that was found on the way."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from ..errors import InputError
from ..spec import DataSpec
from . import labels as label_names
from .columns import Columns, find_columns
from .examples import Examples, TextColumn
from .hub import looks_like_id, read_hub
from .read import read_file
from .split import stratified_sample, stratified_split, text_keys
from .table import RawTable

if TYPE_CHECKING:
    from ..tasks import Task

SAMPLE = "sample"


@dataclass
class Dataset:
    """What training sees."""

    train: Examples
    eval: Examples
    task: Task
    findings: list[str]
    warnings: list[str]


@dataclass
class Loaded:
    """A Dataset before it has a task object: free of torch, for looking at data."""

    train: Examples
    eval: Examples
    task_type: str
    labels: tuple[str, ...]
    columns: Columns
    rows: int
    dropped: int
    findings: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


@dataclass
class _Part:
    """The usable rows of one table."""

    source: str
    texts: TextColumn
    pairs: TextColumn | None
    labels: list[str | None]
    rows: int
    dropped: int


def load(spec: DataSpec, *, seed: int, task: str = "auto", labels: Sequence[str] | None = None) -> Dataset:
    """Read, understand, check and split the data.

    Args:
        seed: decides the split and the choice of `max_examples`.
        task: "auto" or a task type.
        labels: the label order of an existing model; the data's labels are matched to it by name.

    Raises:
        InputError: the data can't be used as it is; the message says what and where.
    """
    from ..tasks import TASKS

    loaded = load_examples(spec, seed=seed, task=task, labels=labels)
    kind = TASKS[loaded.task_type]
    meaning = kind(labels=loaded.labels, pair=loaded.train.pairs is not None)
    return Dataset(loaded.train, loaded.eval, meaning, loaded.findings, loaded.warnings)


def load_eval(
    path: str,
    *,
    text_column: str | None = None,
    text_pair_column: str | None = None,
    label_column: str | None = None,
    labels: Sequence[str] | None = None,
    task: str = "auto",
    pair: bool | None = None,
) -> Examples:
    """Examples to measure a model on: all rows of a file, the evaluation part of `sample` or of a Hub data set.

    Args:
        labels: the model's label order; left out, the file's own.
        pair: whether the model takes two texts; the data must suit it.

    Raises:
        InputError: as `load`, and if a model for pairs gets single texts or the other way round.
    """
    _task_type(task)
    first, second, _ = _sources(path)
    table = second or first
    columns = find_columns(table, text=text_column, pair=text_pair_column, label=label_column)
    part = _part(table, columns)
    _suits(part, pair)
    values = label_names.canonical(part.labels)
    if labels is None:
        labels = label_names.label_set(values, part.source, task=task).names
    indices, _ = label_names.aligned(values, labels, part.source)
    return Examples(part.texts, part.pairs, indices)


def load_examples(spec: DataSpec, *, seed: int, task: str = "auto", labels: Sequence[str] | None = None) -> Loaded:
    """`load` without torch; see there."""
    task_type = _task_type(task)
    train_table, own_eval, own_name = _sources(spec.train)
    columns = find_columns(
        train_table, text=spec.text_column, pair=spec.text_pair_column, label=spec.label_column, label_needed=True
    )
    columns.available = tuple(train_table.columns)
    train = _part(train_table, columns)
    findings = [*train_table.findings, *columns.findings]
    warnings = [*train_table.warnings, *columns.warnings]
    eval_table = own_eval
    if spec.eval is not None:
        first, second, _ = _sources(spec.eval)
        eval_table = second if second is not None else first
        warnings += [f"{spec.eval}: {warning}" for warning in eval_table.warnings]
    elif own_name:
        findings.append(f"evaluation data: the data set's own part {own_name!r}")
    held = None if eval_table is None else _part(eval_table, _same_columns(eval_table, train_table, columns))

    values = label_names.canonical([*train.labels, *(held.labels if held else ())])
    names = _names(values, train, labels, columns, task, warnings)
    train_labels, notes = label_names.aligned(values[: len(train.labels)], names, train.source)
    findings += notes
    train_examples = Examples(train.texts, train.pairs, train_labels)
    keys = text_keys(train.texts, train.pairs)
    if held is None:
        kept, split_off = stratified_split(train_labels, keys, spec.eval_fraction, seed=seed)
        eval_examples, train_examples = train_examples.select(split_off), train_examples.select(kept)
        findings.append(
            f"evaluation data: {len(eval_examples):,} of {len(keys):,} examples split off by class, seed {seed}"
        )
        keys = keys[kept]
    else:
        eval_labels, _ = label_names.aligned(values[len(train.labels) :], names, held.source)
        eval_examples = Examples(held.texts, held.pairs, eval_labels)
        warnings += _overlap(train, held, keys)
    warnings += _dropped(train) + (_dropped(held) if held else [])
    warnings += _about_labels(train_examples, eval_examples, names, keys, fresh=labels is None)
    if spec.max_examples is not None and spec.max_examples < len(train_examples):
        chosen = stratified_sample(train_examples.labels, spec.max_examples, seed=seed)
        findings.append(f"{len(chosen):,} of {len(train_examples):,} training examples used (max_examples)")
        train_examples = train_examples.select(chosen)
    _usable(train_examples, eval_examples, held.source if held else train.source, split=held is None)
    findings.append(f"{len(train_examples):,} training and {len(eval_examples):,} evaluation examples")
    findings.append(f"{len(names)} classes: {', '.join(names[:12])}{', ...' if len(names) > 12 else ''}")
    return Loaded(
        train_examples, eval_examples, task_type, names, columns, train.rows, train.dropped, findings, warnings
    )  # fmt: skip


def _task_type(task: str) -> str:
    if task not in ("auto", "classification"):
        raise InputError(f"The task {task!r} is unknown.", "Tasks are: classification.")
    return "classification"


def _sources(source: str) -> tuple[RawTable, RawTable | None, str | None]:
    """The rows behind a name: of a file, of the bundled sample, of a Hub data set; its own evaluation rows, if any."""
    if source == SAMPLE:
        from .sample import sample_files

        files = sample_files()
        return read_file(files.train), read_file(files.eval), "eval"
    if looks_like_id(source):
        return read_hub(source)
    return read_file(source), None, None


def _part(table: RawTable, columns: Columns) -> _Part:
    """Texts without surrounding space; rows without text are left out."""
    import pyarrow as pa
    import pyarrow.compute as pc

    def trimmed(name: str) -> pa.ChunkedArray:
        return pc.utf8_trim_whitespace(pc.fill_null(table.columns[name], ""))

    texts = trimmed(columns.text)
    pairs = None if columns.pair is None else trimmed(columns.pair)
    keep = pc.not_equal(texts, "")
    if pairs is not None:
        keep = pc.and_(keep, pc.not_equal(pairs, ""))
    labels = None if columns.label is None else table.columns[columns.label].filter(keep).to_pylist()
    kept = TextColumn(texts.filter(keep))
    if not len(kept):
        raise InputError(f"Every cell of {columns.text!r} in {table.source} is empty.", "Name the right --text-column.")
    return _Part(
        table.source,
        kept,
        None if pairs is None else TextColumn(pairs.filter(keep)),
        [None] * len(kept) if labels is None else labels,
        table.rows,
        table.rows - len(kept),
    )


def _same_columns(table: RawTable, like: RawTable, columns: Columns) -> Columns:
    """The columns of evaluation data that mean what `columns` means in training data: by name, else by place."""
    mine, theirs = list(table.columns), list(like.columns)
    by_place = len(mine) == len(theirs) and not (table.header and like.header)

    def same(name: str | None) -> str | None:
        if name is None or name in table.columns:
            return name
        if by_place:
            return mine[theirs.index(name)]
        raise InputError(
            f"{table.source} has no column {name!r}, which the training data has.",
            f"Its columns are: {', '.join(map(repr, mine))}.",
        )

    text, pair, label = same(columns.text) or "", same(columns.pair), same(columns.label)
    if label is None:  # unlabelled training text, labelled evaluation data
        label = find_columns(table, text=text, pair=pair).label
    return Columns(text, pair, label)


def _names(
    values: list[str | None],
    train: _Part,
    labels: Sequence[str] | None,
    columns: Columns,
    task: str,
    warnings: list[str],
) -> tuple[str, ...]:
    """The label order: the given model's, else that of what occurs in training and evaluation."""
    if labels is not None:
        return tuple(labels)
    in_training = values[: len(train.labels)]
    if columns.label is None:
        raise InputError(
            f"No column of {train.source} looks like a label.",
            "Name it with --label-column; unlabelled text needs a teacher that is trained already.",
        )
    label_names.label_set(in_training, train.source, task=task)  # training alone must hold two classes
    found = label_names.label_set(values, train.source, task=task)
    warnings += found.warnings
    return found.names


def _suits(part: _Part, pair: bool | None) -> None:
    if pair and part.pairs is None:
        raise InputError(
            f"The model takes pairs of texts, and {part.source} has one text an example.",
            "Name the second with --text-pair-column.",
        )
    if pair is False and part.pairs is not None:
        raise InputError(
            f"The model takes one text, and {part.source} has pairs.", "Name one with --text-column, or other data."
        )


def _dropped(part: _Part) -> list[str]:
    return [f"{part.source}: {part.dropped:,} rows without text were left out."] if part.dropped else []


def _overlap(train: _Part, held: _Part, keys: np.ndarray) -> list[str]:
    """Texts that are in both training and evaluation data: the score would flatter."""
    both_texts = [*train.texts, *held.texts]
    both_pairs = [*train.pairs, *held.pairs] if train.pairs is not None and held.pairs is not None else None
    all_keys = text_keys(both_texts, both_pairs)
    shared = np.isin(all_keys[len(keys) :], all_keys[: len(keys)])
    if not shared.any():
        return []
    example = held.texts[int(np.flatnonzero(shared)[0])]
    return [
        f"{int(shared.sum()):,} of {len(held.texts):,} evaluation examples are in the training data too, such as "
        f"{_short(example)}: the score flatters."
    ]


def _about_labels(
    train: Examples, held: Examples, names: tuple[str, ...], keys: np.ndarray, *, fresh: bool
) -> list[str]:
    """What is odd about the labels: missing, contradictory, single, never seen in training."""
    out = []
    missing = int((~train.labelled).sum())
    if missing:
        out.append(f"{missing:,} of {len(train):,} training examples have no label: they learn from the teacher alone.")
    unmeasured = int((~held.labelled).sum())
    if unmeasured:
        out.append(f"{unmeasured:,} of {len(held):,} evaluation examples have no label and don't count.")
    counts = np.bincount(train.labels[train.labelled], minlength=len(names))
    in_eval = np.bincount(held.labels[held.labelled], minlength=len(names))
    single = [names[i] for i in np.flatnonzero(counts == 1)]
    if single:
        out.append(f"Only one training example of: {_some(single)}.")
    if fresh:
        if unseen := [names[i] for i in np.flatnonzero((counts == 0) & (in_eval > 0))]:
            out.append(f"In the evaluation data but never in training: {_some(unseen)}.")
        if unmet := [names[i] for i in np.flatnonzero((counts > 0) & (in_eval == 0))]:
            out.append(f"Not in the evaluation data, so not measured: {_some(unmet)}.")
    distinct, first_at = np.unique(keys, return_index=True)
    if len(distinct) < len(keys):
        out.append(f"{len(keys) - len(distinct):,} training examples repeat another's text.")
        pairs = np.unique(np.stack([keys, train.labels])[:, train.labelled], axis=1)
        known, times = np.unique(pairs[0], return_counts=True)
        conflicting = known[times > 1]
        if len(conflicting):
            text = train.texts[int(first_at[np.searchsorted(distinct, conflicting[0])])]
            out.append(f"{len(conflicting):,} texts occur with different labels, such as {_short(text)}.")
    return out


def _usable(train: Examples, held: Examples, source: str, *, split: bool) -> None:
    if not len(train):
        raise InputError("No training example is left.", "Give more data.")
    if not held.labelled.any():
        why = "too few labelled examples to split some off" if split else "none of its examples has a label"
        raise InputError(f"There is nothing to evaluate on in {source}: {why}.", "Give labelled --eval-data.")


def _some(names: Sequence[str]) -> str:
    return ", ".join(map(repr, names[:8])) + (f" and {len(names) - 8} more" if len(names) > 8 else "")


def _short(text: str) -> str:
    return repr(text if len(text) <= 60 else text[:57] + "...")
