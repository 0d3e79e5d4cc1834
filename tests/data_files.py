"""Small files of data for tests, and what is found out about them."""

from __future__ import annotations

from qtinker.data.loading import load_examples
from qtinker.spec import DataSpec

CONLL = (
    "-DOCSTART- -X- O O\n\nEU NNP B-NP B-ORG\nrejects VBZ B-VP O\n\nPeter NNP B-NP B-PER\nBlackburn NNP I-NP I-PER\n"
)
"""Two sentences in four columns."""


def written(path, text):
    path.write_text(text, encoding="utf-8")
    return str(path)


def csv_of(path, header, rows):
    return written(path, "\n".join([header, *rows]) + "\n")


def kind_of(path, **more):
    return load_examples(DataSpec(train=path, **more), seed=0, preview=True)


def scored(tmp_path, name="score", values=None):
    values = values or [f"{i / 10}" for i in range(40)]
    return csv_of(tmp_path / "s.csv", f"first,second,{name}".replace("first,second", "sentence1,sentence2"),
                  [f"this is text {i},and that is text {i},{value}" for i, value in enumerate(values)])  # fmt: skip
