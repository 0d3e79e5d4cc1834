"""From a DataSpec to training and evaluation examples, and words about everything that was found on the way."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import InputError
from ..kinds import KINDS
from ..spec import DataSpec
from .columns import Columns, named_by_first_row
from .detect import find_kind, has_spans, word_columns
from .examples import NO_LABEL, Examples, Ragged, joined
from .hub import looks_like_id, read_hub
from .marks import with_marks
from .own_split import own_split
from .parts import Read, Wanted
from .read import read_file
from .read_forms import read_blocks, read_spans, read_words
from .read_texts import read_texts
from .split import stratified_sample, stratified_split, text_hashes
from .squad import with_answers, with_questions
from .table import RawTable
from .unlabelled import unlabelled_examples
from .word_tables import with_words

if TYPE_CHECKING:
    from ..tasks import Task

SAMPLE = "sample"
_READERS: dict[str, Callable[[RawTable, RawTable | None, DataSpec, Wanted], Read]] = {
    "texts": read_texts, "words": read_words, "spans": read_spans, "blocks": read_blocks,
}  # fmt: skip


@dataclass
class Dataset:
    """What training sees."""

    train: Examples
    eval: Examples
    task: Task
    findings: list[str]
    warnings: list[str]
    unlabelled: int = 0
    """So many of the training examples, the last ones, are of `DataSpec.unlabelled` (running text needs no labels)."""


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
    unlabelled: int = 0

    @property
    def facts(self) -> dict[str, Any]:
        """What else a task is told about the data."""
        if self.task_type != "question-answering":
            return {}
        labels = np.concatenate([self.train.labels, self.eval.labels])
        return {"unanswerable": bool((labels == 0).all(axis=1).any())}


def load(
    spec: DataSpec, *, seed: int, task: str = "auto", labels: Sequence[str] | None = None,
    outputs: Sequence[str] = (), unlabelled: bool = False,
) -> Dataset:  # fmt: skip
    """Read, understand, check and split the data.

    Args:
        seed: decides the split and the choice of `max_examples`.
        task: "auto" or a task type.
        labels: the label order of an existing model; the data's labels are matched to it by name.
        outputs: what a trained teacher calls its labels without naming them (LABEL_0, ...): for data without any.
        unlabelled: a trained teacher answers, so labels need not be there: training ones (as with `labels`), nor any
            to evaluate with.

    Raises:
        InputError: the data can't be used as it is; the message says what and where.
    """
    from ..tasks import TASKS

    loaded = load_examples(spec, seed=seed, task=task, labels=labels, outputs=outputs, unlabelled=unlabelled)
    pair = loaded.train.pairs is not None
    meaning = TASKS[loaded.task_type](labels=loaded.labels, pair=pair, **loaded.facts)
    return Dataset(loaded.train, loaded.eval, meaning, loaded.findings, loaded.warnings, loaded.unlabelled)


def load_eval(
    path: str,
    *,
    text_column: str | None = None,
    text_pair_column: str | None = None,
    label_column: str | None = None,
    labels: Sequence[str] | None = None,
    task: str = "auto",
    pair: bool | None = None,
    unlabelled: bool = False,
    texts_only: bool = False,
    told: list[str] | None = None,
) -> Examples:
    """Examples to measure a model on: all rows of a file, the evaluation part of `sample` or of a Hub data set.

    Args:
        labels: the model's label order; left out, the file's own.
        pair: whether the model takes two texts; the data must suit it.
        unlabelled: labels need not be there.
        texts_only: labels are not looked at, whatever stands there, and rows of tables without a text count too.
        told: takes what is to be said of the data: what is odd or left out, and which of several texts is read.

    Raises:
        InputError: as `load`, and if a model for pairs gets single texts or the other way round.
    """
    spec = DataSpec(
        train=path, text_column=text_column, text_pair_column=text_pair_column, label_column=label_column
    )  # fmt: skip
    first, second, own_name = _sources(path, spec, parted=not texts_only)
    table = second or first
    unlabelled = unlabelled or texts_only or labels is not None
    kind, _ = find_kind(table, spec, task=task, unlabelled=unlabelled)
    if texts_only and ((kind == "token-classification" and word_columns(table, spec) is None)
                       or (kind == "question-answering" and not has_spans(table))):  # fmt: skip
        kind = "classification"  # plain texts, or pairs in columns of other names, are read as such
    wanted = Wanted(kind, labels or None, unlabelled, auto=task == "auto", texts_only=texts_only)
    read = _READERS[KINDS[kind].form](table, None, spec, wanted)
    if KINDS[kind].form == "texts":
        _suits(read.train, table.source, pair)
    if told is not None:
        told += [*table.warnings, *read.columns.warnings, *_which_text(read.columns)]
        if own_name and path != SAMPLE:
            told.append(f"The rows of {path} that are for {own_name!r} are measured on.")
        if read.dropped:
            told.append(f"{table.source}: {read.dropped:,} rows without text were left out.")
    return read.train


def _which_text(columns: Columns) -> list[str]:
    """Which columns are the texts, and which others could be; nothing where there are no others."""
    found = [line for line in columns.findings if line.startswith(("text: ", "second text: ", "not used: "))]
    return found if any(line.startswith("not used: ") for line in found) else []


def load_examples(
    spec: DataSpec, *, seed: int, task: str = "auto", labels: Sequence[str] | None = None,
    outputs: Sequence[str] = (), unlabelled: bool = False, preview: bool = False,
) -> Loaded:  # fmt: skip
    """`load` without torch; see there. A `preview` takes data without labels, or too small to evaluate on, as well."""
    train_table, own_eval, own_name = _sources(spec.train, spec)
    findings, warnings = [*train_table.findings], [*train_table.warnings]
    held_table = own_eval
    if spec.eval is not None:
        first, second, _ = _sources(spec.eval, spec)
        held_table = second if second is not None else first
        warnings += [f"{spec.eval}: {warning}" for warning in held_table.warnings]
    elif own_name:
        findings.append(f"evaluation data: the data set's own part {own_name!r}")
    known = unlabelled or bool(labels)
    kind, words = find_kind(train_table, spec, task=task, unlabelled=known)
    wanted = Wanted(kind, labels or None, known or preview, task == "auto", preview, outputs)
    read = _READERS[KINDS[kind].form](train_table, held_table, spec, wanted)
    findings += [*words, *read.columns.findings] if KINDS[kind].form == "texts" else words
    findings += read.findings
    warnings += [*read.columns.warnings, *read.warnings]
    train, held, keys = read.train, read.held, read.keys
    if held is not None and held_table is own_eval and train.labelled.any() and not held.labelled.any():
        findings.remove(f"evaluation data: the data set's own part {own_name!r}")
        warnings.append(f"No row of the part {own_name!r} has a label: evaluation rows are split off the others.")
        held = held_table = None
    if held is None:
        by = "by class, " if kind in ("classification", "token-classification") else "by "
        kept, split_off = stratified_split(read.strata, keys, spec.eval_fraction, seed=seed)
        if unlabelled and not len(split_off):  # a teacher's answers to texts without labels are what is measured on
            by = "by "
            parts = np.where(read.strata == NO_LABEL, 0, NO_LABEL)
            kept, split_off = stratified_split(parts, keys, spec.eval_fraction, seed=seed)
        if KINDS[kind].form in ("blocks", "spans") and not len(split_off):  # one context: by question
            few = unlabelled and (read.strata != NO_LABEL).sum() < 2
            parts = np.zeros_like(read.strata) if few else read.strata
            kept, split_off = stratified_split(parts, np.arange(len(train)), spec.eval_fraction, seed=seed)
        held, train = train.select(split_off), train.select(kept)
        findings.append(f"evaluation data: {len(held):,} of {len(keys):,} examples split off {by}seed {seed}")
        strata, keys = read.strata[kept], keys[kept]
    else:
        strata = read.strata
        if KINDS[kind].form != "blocks":
            warnings += _overlap(train, held)
    for source, dropped in ((train_table.source, read.dropped), (held_table and held_table.source, read.held_dropped)):
        if dropped:
            warnings.append(f"{source}: {dropped:,} rows without text were left out.")
    warnings += _about_labels(train, held, read.names, keys, kind=kind, fresh=labels is None, taught=unlabelled)
    if spec.max_examples is not None and spec.max_examples < len(train):
        chosen = stratified_sample(strata, spec.max_examples, seed=seed)
        findings.append(f"{len(chosen):,} of {len(train):,} training examples used (max_examples)")
        train = train.select(chosen)
    try:
        source = held_table.source if held_table else train_table.source
        _usable(train, held, source, split=held_table is None, taught=unlabelled)
        if kind == "classification" and labels is None:
            _share_labels(train, held, read.names, source)
    except InputError as error:
        if not preview:
            raise
        if train.labelled.any():
            warnings.append(f"{error.message} {error.fix}")
    findings.append(f"{len(train):,} training and {len(held):,} evaluation examples")
    more = 0
    if spec.unlabelled:
        tables = [table for source in spec.unlabelled for table in _sources(source, spec)[:1]]
        extra, words = unlabelled_examples(
            tables, spec, kind=kind, columns=read.columns, train=train, held=held
        )  # fmt: skip
        findings += words
        train, more = joined([train, extra]), 0 if KINDS[kind].form == "blocks" else len(extra)
    return Loaded(
        train, held, kind, read.names, read.columns, read.rows, read.dropped, findings, warnings, more
    )  # fmt: skip


def _sources(
    source: str, spec: DataSpec, *, parted: bool = True
) -> tuple[RawTable, RawTable | None, str | None]:  # fmt: skip
    """The rows behind a name: of a file, of the bundled sample, of a Hub data set; its own evaluation rows, if any.

    Args:
        parted: with False the rows of a file stay together, whatever a column says of them.
    """
    if source == SAMPLE:
        from .sample import sample_files

        files = sample_files()
        return read_file(files.train), read_file(files.eval), "eval"
    if looks_like_id(source):
        first, own, name = read_hub(source)
        return with_answers(first), own and with_answers(own), name
    given = (spec.text_column, spec.text_pair_column, *(spec.label_column or "").split(","))
    table = with_answers(with_questions(named_by_first_row(read_file(source), given)), spec.label_column)
    table = with_words(with_marks(table, spec.label_column), spec.text_column, spec.label_column)
    return own_split(table, given) if parted else (table, None, None)


def _suits(examples: Examples, source: str, pair: bool | None) -> None:
    if pair and examples.pairs is None:
        raise InputError(
            f"The model takes pairs of texts, and {source} has one text an example.",
            "Name the second with --text-pair-column.",
        )
    if pair is False and examples.pairs is not None:
        raise InputError(
            f"The model takes one text, and {source} has pairs.", "Name one with --text-column, or other data."
        )


def _overlap(train: Examples, held: Examples) -> list[str]:
    """Texts that are in both training and evaluation data: the score would flatter."""
    pairs = train.pairs is not None and held.pairs is not None
    known, asked = (text_hashes(part.texts, part.pairs if pairs else None) for part in (train, held))
    shared = np.isin(asked, known)
    if not shared.any():
        return []
    example = held.texts[int(np.flatnonzero(shared)[0])]
    return [
        f"{int(shared.sum()):,} of {len(held.texts):,} evaluation examples are in the training data too, such as "
        f"{_short(example)}: the score flatters."
    ]


def _about_labels(
    train: Examples, held: Examples, names: tuple[str, ...], keys: np.ndarray, *, kind: str, fresh: bool, taught: bool
) -> list[str]:
    """What is odd about the labels: missing, contradictory, single, never seen in training."""
    out: list[str] = []
    if kind == "masked-lm":
        return out
    missing = int((~train.labelled).sum())
    if missing:
        use = "the teacher's answers alone teach them" if taught else "without a teacher's answers they teach nothing"
        out.append(f"{missing:,} of {len(train):,} training examples have no label: {use}.")
    unmeasured = int((~held.labelled).sum())
    if taught and unmeasured == len(held) > 0:
        out.append("No evaluation example has a label: scores tell how well the student agrees with the teacher.")
    elif unmeasured:
        out.append(f"{unmeasured:,} of {len(held):,} evaluation examples have no label and don't count.")
    if kind == "regression" and len(set(held.labels[held.labelled].tolist())) == 1:
        out.append("All numbers of the evaluation data are the same: how well answers follow them can't be measured.")
    counts, in_eval = label_counts(train, names), label_counts(held, names)
    single = [names[i] for i in np.flatnonzero(counts == 1)]
    if single:
        out.append(f"Only one training example of: {_some(single)}.")
        common = [names[i] for i in np.flatnonzero(counts > 1)]
        begins = 2 if kind == "token-classification" else 0  # I-PER is no B-PER misspelt
        out += [
            f"{name!r} looks like {close[0]!r} misspelt."
            for name in single
            if not any(map(str.isdigit, name)) and (close := difflib.get_close_matches(
                name, [each for each in common if each[:begins] == name[:begins]], n=1, cutoff=0.8
            ))
        ][:3]  # fmt: skip
    if fresh:
        if unseen := [names[i] for i in np.flatnonzero((counts == 0) & (in_eval > 0))]:
            out.append(f"In the evaluation data but never in training: {_some(unseen)}.")
        if unmet := [names[i] for i in np.flatnonzero((counts > 0) & (in_eval == 0))]:
            out.append(f"Not in the evaluation data, so not measured: {_some(unmet)}.")
    distinct, first_at = np.unique(keys, return_index=True)
    if len(distinct) < len(keys) and kind != "question-answering":  # many questions about one context
        repeated = len(keys) - len(distinct)
        out.append(f"{repeated:,} training example{' repeats' if repeated == 1 else 's repeat'} another's text.")
    if len(distinct) < len(keys) and kind == "classification":
        pairs = np.unique(np.stack([keys, train.labels])[:, train.labelled], axis=1)
        known, times = np.unique(pairs[0], return_counts=True)
        conflicting = known[times > 1]
        if len(conflicting):
            text = train.texts[int(first_at[np.searchsorted(distinct, conflicting[0])])]
            out.append(f"{len(conflicting):,} texts occur with different labels, such as {_short(text)}.")
    return out


def label_counts(examples: Examples, names: Sequence[str]) -> np.ndarray:
    """int64 [C]: how often each label occurs; by words where each word has one."""
    labels = examples.labels
    if isinstance(labels, Ragged):
        return np.bincount(labels.values[labels.values >= 0], minlength=len(names))
    if not len(names):
        return np.zeros(0, np.int64)
    known = labels[examples.labelled]
    return known.sum(0).astype(np.int64) if labels.ndim == 2 else np.bincount(known, minlength=len(names))


def _usable(train: Examples, held: Examples, source: str, *, split: bool, taught: bool) -> None:
    if not len(train):
        raise InputError("No training example is left.", "Give more data.")
    if not held.labelled.any() and not (taught and len(held)):
        why = "too few labelled examples to split some off" if split else "none of its examples has a label"
        fix = "Give labelled --eval-data."
        if train.form == "blocks":
            why, fix = "too few paragraphs to split some off", "Part the text into more of them, or give --eval-data."
        raise InputError(f"There is nothing to evaluate on in {source}: {why}.", fix)


def _share_labels(train: Examples, held: Examples, names: tuple[str, ...], source: str) -> None:
    """
    Raises:
        InputError: no label of the evaluation data occurs in training, so that no answer could be right.
    """
    learned, asked = (label_counts(part, names) > 0 for part in (train, held))
    if learned.any() and asked.any() and not (learned & asked).any():
        raise InputError(
            f"No label of {source} occurs in the training data: "
            f"{_some([names[i][:60] for i in np.flatnonzero(asked)])}.",
            f"Write them as there: {_some([names[i] for i in np.flatnonzero(learned)])}; or give both files a header "
            "that names the columns.",
        )


def _some(names: Sequence[str]) -> str:
    return ", ".join(map(repr, names[:8])) + (f" and {len(names) - 8} more" if len(names) > 8 else "")


def _short(text: str) -> str:
    return repr(text if len(text) <= 60 else text[:57] + "...")
