"""Reading files of every format and encoding, and refusing broken ones with the line."""

from __future__ import annotations

import csv
import gzip
import io
import json
import os

import pyarrow as pa
import pyarrow.parquet
import pytest
from qtinker.data.delimited import has_header
from qtinker.data.read import read_file
from qtinker.errors import InputError

ROWS = [("good film", "pos"), ("what a bore, truly", "neg"), ('he said "no" twice', "neg"), ("naïve but fine", "pos")]


def written(path, rows=ROWS, header=("text", "label"), encoding="utf-8", **how):
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n", **how).writerows([header, *rows] if header else rows)
    path.write_bytes(buffer.getvalue().encode(encoding))
    return path


def rows_of(table):
    return list(zip(*(table.values(name) for name in table.columns), strict=True))


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "cp1252", "utf-32"])
def test_delimiters_and_encodings(tmp_path, delimiter, encoding):
    table = read_file(written(tmp_path / "some.csv", delimiter=delimiter, encoding=encoding))
    assert list(table.columns) == ["text", "label"] and table.header
    assert rows_of(table) == ROWS


@pytest.mark.parametrize("first", ["sep=;", '"sep=;"', "SEP=;", "sep=\t", "sep=^"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_the_line_that_tells_excel_the_delimiter_is_no_row(tmp_path, first, end):
    delimiter = first.strip('"')[-1]
    rows = [("text", "label", "note"), ("a, b, c", "x", "1"), ("d, e, f", "y", "2")]
    lines = [first, *map(delimiter.join, rows)]
    for name in ("some.csv", "some"):
        (tmp_path / name).write_bytes(b"\xef\xbb\xbf" + end.join(lines).encode())
        if name == "some.csv" or delimiter != "^":  # without a suffix a table has one of the usual delimiters
            table = read_file(tmp_path / name)
            assert table.header and [tuple(table.columns), *rows_of(table)] == rows
    (tmp_path / "bad.csv").write_bytes(end.join([*lines, f"a{delimiter}b"]).encode())
    with pytest.raises(InputError, match="line 5: 2 fields where the first row has 3"):
        read_file(tmp_path / "bad.csv")


def test_bytes_that_windows_does_not_define_are_latin_1(tmp_path):
    (tmp_path / "a.csv").write_bytes("text,label\nfür \x81 alle,a\nund gut,b\n".encode("latin-1"))
    table = read_file(tmp_path / "a.csv")
    assert table.values("text")[0] == "für \x81 alle"
    assert "encoding: Latin-1" in table.findings


@pytest.mark.parametrize(
    ("encoding", "name", "texts"),
    [
        ("gb18030", "GB18030 (Chinese)", ["这部电影非常好看，演员的表演也很出色。", "服务态度很差，再也不会来了"]),
        ("big5", "Big5 (Chinese)", ["這部電影非常好看，演員的表演也很出色。", "服務態度很差，再也不會來了"]),
        ("cp932", "Shift-JIS (Japanese)", ["この映画はとても面白かったです。", "サービスが悪かった"]),
        ("cp949", "CP949 (Korean)", ["이 영화는 정말 재미있었어요.", "서비스가 나빴어요"]),
        ("cp1251", "Windows-1251 (Cyrillic)", ["Этот фильм мне очень понравился.", "Обслуживание было ужасным"]),
        ("gb18030", "GB18030 (Chinese)", ["我用Python写代码，速度很快", "iPhone手机的屏幕坏了，APP也打不开"]),
        ("cp1253", "Windows-1253 (Greek)", ["Αυτή η ταινία μου άρεσε πολύ.", "Η εξυπηρέτηση ήταν κακή"]),
    ],
)
def test_the_encodings_of_other_scripts_are_found_and_told(tmp_path, encoding, name, texts):
    rows = "".join(f"{text},{label}\n" for _ in range(3) for text, label in zip(texts, "ab", strict=True))
    (tmp_path / "a.csv").write_bytes(f"text,label\n{rows}".encode(encoding))
    table = read_file(tmp_path / "a.csv")
    assert table.values("text") == texts * 3
    assert f"encoding: {name}" in table.findings
    assert f"a.csv is no UTF-8; by its bytes it is read as {name}. Where texts look wrong, save it as UTF-8." in (
        table.warnings
    )


def test_another_script_is_found_far_below_the_beginning(tmp_path):
    rows = "plain text number one,a\n" * 5000 + "这部电影非常好看，演员的表演也很出色。,b\n" * 3
    (tmp_path / "a.csv").write_bytes(f"text,label\n{rows}".encode("gb18030"))
    assert read_file(tmp_path / "a.csv").values("text")[-1] == "这部电影非常好看，演员的表演也很出色。"


@pytest.mark.parametrize("text", [
    "Das Essen war für alle großartig, schöne Größe", "Très déçu, l'été à la plage", "Größe invoice problem",
    "Füße der Größe nach", "Hääyöaie ja ääni",
])  # fmt: skip
def test_western_european_letters_are_no_other_script(tmp_path, text):
    (tmp_path / "a.csv").write_bytes(("text;label\n" + f"{text};a\n" * 40).encode("cp1252"))
    table = read_file(tmp_path / "a.csv")
    assert table.values("text") == [text] * 40 and table.warnings == []


def test_a_few_broken_bytes_do_not_turn_utf8_into_something_else(tmp_path):
    lines = ["text,label"] + [f"Straße {i} über Köln,a" for i in range(30)]
    (tmp_path / "a.csv").write_bytes("\n".join(lines).encode() + b"\nbad \xff byte,b\n")
    table = read_file(tmp_path / "a.csv")
    assert table.values("text")[0] == "Straße 0 über Köln"
    assert table.values("text")[-1] == "bad \ufffd byte"
    assert any("1 bytes are no valid UTF-8" in warning for warning in table.warnings)


def test_broken_bytes_below_a_byte_order_mark_are_told(tmp_path):
    (tmp_path / "a.csv").write_bytes(b"\xef\xbb\xbftext,label\ngr\xfcn,a\nblau,b\n")
    table = read_file(tmp_path / "a.csv")
    assert list(table.columns) == ["text", "label"] and table.values("text") == ["gr\ufffdn", "blau"]
    assert table.warnings == ["1 bytes are no valid UTF-8 and were replaced by U+FFFD."]
    assert "encoding: UTF-8 with BOM" in table.findings


def test_glue_quotes_are_plain_characters(tmp_path):
    # Read with CSV quotes, rows 1 to 3 would become one, and nobody would be told.
    path = tmp_path / "train.tsv"
    path.write_text('sentence\tlabel\n"an open quote\t1\nplain\t0\nclosed there"\t1\n" all of it "\t0\n')
    table = read_file(path)
    assert rows_of(table) == [
        ('"an open quote', "1"), ("plain", "0"), ('closed there"', "1"), ('" all of it "', "0"),
    ]  # fmt: skip
    assert "quotes: plain characters, as in GLUE's files" in table.findings


def test_quoted_cells_hold_delimiters_quotes_and_line_ends(tmp_path):
    rows = [("one, two", "a"), ('say "hi"', "b"), ("first\nsecond, third", "a"), ("x\u2028y", "b")]
    assert rows_of(read_file(written(tmp_path / "a.csv", rows))) == rows
    assert rows_of(read_file(written(tmp_path / "b.tsv", rows, delimiter="\t"))) == rows


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_line_ends(tmp_path, end):
    (tmp_path / "a.csv").write_bytes(end.join(["text,label", "one thing,a", "", "two things,b", ""]).encode())
    assert rows_of(read_file(tmp_path / "a.csv")) == [("one thing", "a"), ("two things", "b")]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('"left\nand came back"\n"again"\n"and ""again"""\n', ["left\nand came back", "again", 'and "again"']),
        ('text\n"left\n\nand came back"\n"once\nmore"\n', ["left\n\nand came back", "once\nmore"]),
        ('"I left\nand came back"\nhe said\nand went\n', ['"I left', 'and came back"', "he said", "and went"]),
        ('one\n"two "or" three"\n"I left\nand went"\n', ["one", '"two "or" three"', '"I left', 'and went"']),
    ],
)
def test_quotes_of_a_single_column_hold_lines_where_all_else_is_quoted_too(tmp_path, text, expected):
    (tmp_path / "a.csv").write_text(text)
    assert rows_of(read_file(tmp_path / "a.csv")) == [(cell,) for cell in expected]


def test_quotes_behind_a_backslash_are_quotes(tmp_path):
    """As Spark and MySQL write them."""
    (tmp_path / "a.csv").write_text('text,label\n"he said \\"no\\", twice",neg\n"a \\"film\\"",pos\nplain,pos\n')
    table = read_file(tmp_path / "a.csv")
    assert table.values("text") == ['he said "no", twice', 'a "film"', "plain"]
    (tmp_path / "b.tsv").write_text('text\tlabel\nhe said "no\\" twice\tneg\n5" of \\it\tpos\n')
    assert read_file(tmp_path / "b.tsv").values("text") == ['he said "no\\" twice', '5" of \\it']


def test_quotes_that_are_not_doubled_are_read_with_a_warning(tmp_path):
    (tmp_path / "a.csv").write_text('text,label\n"a "quoted" word",x\n"fine, too",y\n')
    table = read_file(tmp_path / "a.csv")
    assert table.values("label") == ["x", "y"]
    assert "Line 2" in table.warnings[0]


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([["text", "label"], ["I like it", "1"]], True),
        ([["Sentence", "Label"], ["fine", "good"], ["not so", "bad"]], True),
        ([["I like it a lot", "1"], ["not at all", "0"]], False),
        ([["bemerkung", "klasse"], ["das war wirklich gar nichts", "5"], ["recht gut war das alles", "4"]], True),
        ([["spam", "win a prize now"], ["ham", "see you at home"], ["spam", "last chance"]], False),
        ([["nachricht", "art"], ["gewinnen Sie jetzt ein Auto", "spam"], ["bis heute abend dann", "ham"]], True),
        ([["text", "a sentence."], ["text", "another one."], ["code", "x = 1"]], False),
        ([["a lone line"]], False),
        ([["What they wrote", "How did they feel?"], *[["so so", "happy"], ["well", "not happy"]] * 12], True),
        ([["Ticket #", "How did they feel?"], *[["a7", "happy"], ["b9", ""], ["c1", "sad"]] * 12], True),
        ([["v1", "v2", "", ""], *[["ham", "see you at home", "", ""], ["spam", "win", "", ""]] * 12], True),
        ([["a rare one", "odd"], *[["so so", "happy"], ["well", "not happy"]] * 3], False),
        ([["so so", "happy"], *[["so so", "happy"], ["well", "not happy"]] * 12], False),
        ([[f"a long first text {'of words ' * 9}", "odd"], *[["so so", "happy"], ["well", "sad"]] * 12], False),
    ],
)
def test_header_by_evidence(rows, expected):
    assert has_header(rows)[0] is expected


def test_no_header(tmp_path):
    table = read_file(written(tmp_path / "a.tsv", header=None, delimiter="\t"))
    assert list(table.columns) == ["column 1", "column 2"] and rows_of(table) == ROWS


def test_names_empty_or_double(tmp_path):
    (tmp_path / "a.csv").write_text(",text,text,label\n0,one thing,x,a\n1,two things,y,b\n")
    table = read_file(tmp_path / "a.csv")
    assert list(table.columns) == ["column 1", "text", "text (2)", "label"]
    assert table.warnings == ["Several columns are called 'text': the first is meant by it, this one by 'text (2)'."]


def test_jsonl_keeps_what_is_missing_missing(tmp_path):
    lines = [{"text": "a", "label": 1}, {"text": "b", "label": None}, {"text": "c"}, {"text": "d", "label": True}]
    (tmp_path / "a.jsonl").write_text("\n\n".join(map(json.dumps, lines)))
    table = read_file(tmp_path / "a.jsonl")
    assert table.values("label") == ["1", None, None, "true"]


def test_objects_in_objects_are_columns_of_their_own(tmp_path):
    answer, flags = {"text": ["b"], "answer_start": [2]}, {"toxic": 1, "rude": 0}
    row = {"id": 7, "data": {"text": "a", "meta": {"lang": "en"}}, "answers": answer, "labels": flags}
    (tmp_path / "a.jsonl").write_text(json.dumps(row) + "\n" + json.dumps({"id": 8, "data": {"text": "c"}}))
    table = read_file(tmp_path / "a.jsonl")
    assert list(table.columns) == ["id", "data.text", "data.meta.lang", "answers", "labels"]
    assert table.values("data.text") == ["a", "c"] and table.values("data.meta.lang") == ["en", None]
    assert [json.loads(table.values(name)[0]) for name in ("answers", "labels")] == [answer, flags]


def test_a_column_that_starts_late(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"text": "a"}\n{"text": "b", "label": "x"}\n')
    assert read_file(tmp_path / "a.jsonl").values("label") == [None, "x"]


@pytest.mark.parametrize(
    "content",
    [
        [{"text": "a", "label": 0}, {"text": "b", "label": 1}],
        {"data": [{"text": "a", "label": 0}, {"text": "b", "label": 1}]},
        {"text": ["a", "b"], "label": [0, 1]},
    ],
)
def test_json_lists(tmp_path, content):
    (tmp_path / "a.json").write_text(json.dumps(content, indent=1))
    assert rows_of(read_file(tmp_path / "a.json")) == [("a", "0"), ("b", "1")]


def test_jsonl_named_json(tmp_path):
    (tmp_path / "a.json").write_text('{"text": "a", "label": 0}\n{"text": "b", "label": 1}\n')
    assert rows_of(read_file(tmp_path / "a.json")) == [("a", "0"), ("b", "1")]


def test_parquet_with_class_names_and_odd_columns(tmp_path):
    info = {"info": {"features": {"label": {"names": ["neg", "pos"], "_type": "ClassLabel"}}}}
    table = pa.table(
        {"text": ["a", "b", None], "label": [1, -1, 0], "score": [0.5, float("nan"), None],
         "vector": [[0.1], [0.2], [0.3]], "blob": [b"", b"", b""],
         "kind": pa.array(["x", "y", "x"]).dictionary_encode()}
    ).replace_schema_metadata({"huggingface": json.dumps(info)})  # fmt: skip
    pa.parquet.write_table(table, tmp_path / "data.bin")  # by content, not by name
    read = read_file(tmp_path / "data.bin")
    assert list(read.columns) == ["text", "label", "score", "kind"]
    assert read.values("label") == ["pos", None, "neg"]
    assert read.values("score") == ["0.5", None, None] and read.values("kind") == ["x", "y", "x"]


def test_plain_text_is_one_text_a_line_even_with_commas(tmp_path):
    (tmp_path / "a.txt").write_bytes("\ufeffOne, two.\r\nThree, four.\r\n\r\nFive\u2028six, seven.\r\n".encode())
    table = read_file(tmp_path / "a.txt")
    assert table.values("text") == ["One, two.", "Three, four.", "", "Five\u2028six, seven."]


def test_a_table_named_txt_and_one_without_a_suffix(tmp_path):
    for name, delimiter in (("a.txt", "\t"), ("b", ";"), ("c.data", ",")):
        assert rows_of(read_file(written(tmp_path / name, delimiter=delimiter))) == ROWS


@pytest.mark.parametrize("delimiter", [";", "|", ","])
def test_texts_with_few_labels_behind_a_delimiter_are_a_table(tmp_path, delimiter):
    rows = [(f"text number {number}", ("joy", "anger")[number % 2]) for number in range(20)]
    assert rows_of(read_file(written(tmp_path / "a.txt", rows, header=None, delimiter=delimiter))) == rows
    other = [(text, f"{label} {number}") for number, (text, label) in enumerate(rows)]
    assert list(read_file(written(tmp_path / "b.txt", other, header=None, delimiter=delimiter)).columns) == ["text"]


def test_fasttexts_labels_are_told_from_text(tmp_path):
    (tmp_path / "a.txt").write_text("__label__joy what a film\n__label__anger never again\n" * 9)
    with pytest.raises(InputError, match=r"as fastText writes them: '__label__joy what a film'"):
        read_file(tmp_path / "a.txt")


def test_json_by_columns_as_pandas_writes_it(tmp_path):
    columns = {"text": {"0": "a film", "2": "no"}, "label": {"0": "pos", "2": None}}
    for indent in (None, 1):
        (tmp_path / "a.json").write_text(json.dumps(columns, indent=indent))
        assert rows_of(read_file(tmp_path / "a.json")) == [("a film", "pos"), ("no", None)]


def test_a_header_that_comes_again_is_no_row(tmp_path):
    """Files put one below the other."""
    path = tmp_path / "a.csv"
    path.write_text("text,label\n" + "good,pos\n" * 400 + "text,label\nbad,neg\n")
    table = read_file(path)
    assert table.header and table.values("label") == ["pos"] * 400 + ["neg"]
    assert table.warnings == ["Rows that repeat the header, left out: 1."]
    path.write_text("text,label\n" * 2 + "good,pos\nbad,neg\n")
    assert rows_of(read_file(path)) == [("good", "pos"), ("bad", "neg")]
    path.write_text("text,pos\nother,neg\ntext,neg\n")
    assert not read_file(path).header


def test_gzip(tmp_path):
    plain = written(tmp_path / "a.csv").read_bytes()
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress(plain))
    assert rows_of(read_file(tmp_path / "a.csv.gz")) == ROWS
    (tmp_path / "cut.csv.gz").write_bytes(gzip.compress(plain * 50)[:-20])
    with pytest.raises(InputError, match="damaged gzip"):
        read_file(tmp_path / "cut.csv.gz")


def test_many_rows_cross_the_parts(tmp_path):
    rows = [(f"text number {i}", str(i % 3)) for i in range(45_000)]
    assert rows_of(read_file(written(tmp_path / "a.csv", rows))) == rows


def test_a_very_long_cell(tmp_path):
    rows = [("long, " * 50_000, "a"), ("short, one", "b")]
    assert rows_of(read_file(written(tmp_path / "a.csv", rows))) == rows


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", b"", "is empty"),
        ("a.csv", b"\xef\xbb\xbf", "is empty"),
        ("a.csv", b"  \n\n", "is empty"),
        ("a.csv", b"text,label\n", "a header and no rows"),
        ("a.csv", b"text,label\na,1\nb,c,2\nd,0\n", "line 3: 3 fields where the first row has 2"),
        ("a.csv", b'text,label\n"a, b",1\n"b,2\nc,3\n', "line 3: a quote is opened and never closed"),
        ("a.csv", b'text,label\n"a,1\nb,0\n"c, d",1\n', "close each quote that is opened, in this line or before"),
        ("a.csv", b"text,label\ngood,1\nb\0d,0\n", "NUL byte in line 3"),
        ("a.tsv", b"text\tlabel\na b\t1\nc d\n", "line 3: 1 fields where the first row has 2"),
        ("a.csv", b"Export of 2023\ntext,label\na,1\nb,0\n", "Remove what stands above the table"),
        ("a.jsonl", b'{"text": "a"}\n{"text": \n', "line 2: not valid JSON"),
        ("a.jsonl", b'{"text": "a"}\n[1, 2]\n', "line 2: expected an object"),
        ("a.json", b'{"text": "a", "label": [1}', "not valid JSON"),
        ("a.json", b"[]", "holds no list of examples"),
        ("a.parquet", b"PAR1 but nothing else", "damaged Parquet"),
        ("a.parquet", b"text,label\na,1\n", "no Parquet file"),
        ("a.xlsx", b"PK\x03\x04rest", "zip archive"),
        ("a.csv", bytes(range(1, 32)) * 50, "binary file"),
    ],
)
def test_broken_files_are_refused_by_name(tmp_path, name, content, message):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(InputError) as caught:
        read_file(path)
    assert message in str(caught.value) and str(path) in caught.value.message


def test_folders_of_texts_are_told_how_they_become_a_table(tmp_path):
    (tmp_path / "pos").mkdir()
    (tmp_path / "pos" / "0_9.txt").write_text("a good film")
    with pytest.raises(InputError, match="each with the name of its folder as the label"):
        read_file(tmp_path)


def test_missing_file_and_folder(tmp_path):
    with pytest.raises(InputError, match=r"no file .*nope\.csv"):
        read_file(tmp_path / "nope.csv")
    written(tmp_path / "in.csv")
    with pytest.raises(InputError, match=r"is a folder.*in\.csv"):
        read_file(tmp_path)


@pytest.mark.parametrize("address", ["https://example.com/in.csv", "http://example.com/in.csv"])
def test_an_address_is_no_file(address):
    with pytest.raises(InputError, match=rf"{address} is an address.*give the file.*owner/name"):
        read_file(address)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such files")
def test_what_can_be_read_once_only_is_no_file(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", "/dev/null", "-"):
        with pytest.raises(InputError, match=r"is no file, and data is read more than once.*Save it into a file"):
            read_file(path)


@pytest.mark.real_data
@pytest.mark.parametrize(
    ("name", "rows"),
    [("sst2/train.tsv", 67_349), ("sst2/dev.tsv", 872), ("rte/train.tsv", 2_490), ("rte/dev.tsv", 277),
     ("stsb/train.tsv", 5_749), ("stsb/dev.tsv", 1_500), ("banking77/train.csv", 10_003), ("banking77/test.csv", 3_080),
     ("sentence-polarity/sentence_polarity/rt-polarity.neg", 5_331)],
)  # fmt: skip
def test_real_files_have_all_their_rows(real_data, name, rows):
    assert read_file(real_data / name).rows == rows


def test_a_misspelt_path_is_answered_with_its_neighbour(tmp_path):
    (tmp_path / "reviews.csv").write_text("text,label\na,b\n")
    with pytest.raises(InputError, match=r"no file .*reviews\.cvs\. Is it .*reviews\.csv\?"):
        read_file(tmp_path / "reviews.cvs")
    for other in (tmp_path / "quite-another.csv", tmp_path / "no-folder" / "reviews.csv"):
        with pytest.raises(InputError, match="Check the path"):
            read_file(other)
