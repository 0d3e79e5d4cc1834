"""The words of the page, in each language, and its guide."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path

import pytest
from qtinker import catalog
from qtinker.export.formats import FORMATS
from qtinker.quantize.schemes import SCHEMES
from qtinker.ui import choices, guard
from qtinker.ui.guide import AMOUNTS, GOALS, LABELS, LANGUAGES, advise
from qtinker.ui.texts import LANGUAGES as TONGUES
from qtinker.ui.texts import Texts, messages


@pytest.mark.parametrize("language", [name for name in TONGUES if name != "en"])
def test_a_translation_has_every_text_with_the_same_blanks(language):
    english, other = Texts("en"), Texts(language)
    assert Texts.keys(language) >= Texts.keys("en"), sorted(Texts.keys("en") - Texts.keys(language))
    for key in Texts.keys("en"):
        blanks = [set(re.findall(r"\{(\w+)\}", words.get(key))) for words in (english, other)]
        assert blanks[0] == blanks[1], key


@pytest.mark.parametrize("language", TONGUES)
def test_every_model_of_the_catalog_is_described_in_the_language(language):
    english = {name: entry.about for name, entry in catalog.catalog().items()}
    told = {name: choices.about(choices.from_offer(catalog.find(name)), Texts(language)) for name in english}
    assert all(told.values()) and len(set(told.values())) == len(set(english.values()))
    assert [name for name in told if (told[name] == english[name]) != (language == "en")] == []
    known = {key.removeprefix("catalog.") for key in Texts.keys(language) if key.startswith("catalog.")}
    assert known - {"miniature"} <= set(english)


def test_every_text_that_the_page_asks_for_is_there():
    folder = Path(guard.__file__).parent
    asked = {
        key for path in folder.glob("*.py") for key in re.findall(r'\bt\("([a-z0-9_.]+)"', path.read_text("utf-8"))
    }
    assert asked and not asked - Texts.keys("en")


def said_in_source() -> list[re.Pattern[str]]:
    """Every text of the program's source as a pattern, anything where a value stands."""

    def text(node: ast.AST) -> str:
        if isinstance(node, ast.Constant):
            return node.value if isinstance(node.value, str) else "\0"
        if isinstance(node, ast.JoinedStr):
            return "".join(map(text, node.values))
        return text(node.left) + text(node.right) if isinstance(node, ast.BinOp) else "\0"

    found = set()
    for path in Path(guard.__file__).parents[1].rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Constant | ast.JoinedStr | ast.BinOp):
                words = re.sub("\0+", "\0", text(node))
                if sum(map(str.isalpha, words)) >= 6 and "\n" not in words:
                    found.add(words)
    return [re.compile(".+?".join(map(re.escape, words.split("\0"))) + r"\.?", re.DOTALL) for words in sorted(found)]


def test_what_the_core_says_is_known_to_the_page():
    source = said_in_source()
    for language in ("en", "zh"):
        known = json.loads((Path(messages.__file__).parent / f"messages.{language}.json").read_text("utf-8"))
        for english, other in known.items():
            blanks = [sorted(re.findall(r"\{\d\}", words)) for words in (english, other)]
            assert set(blanks[1]) <= set(blanks[0]), english
        ours = [words for words in known if not words.startswith("must be ")]  # pydantic's
        stale = [words for words in ours if not any(pattern.fullmatch(words) for pattern in source)]
        assert len(stale) < 0.1 * len(ours), stale


@pytest.mark.parametrize(
    ("said", "english", "chinese"),
    [
        ("There is no column 'x' in a.csv. Its columns are: 'a', 'b'.", None, "a.csv 中没有列 'x'。现有列：'a', 'b'。"),
        (
            "There is no column 'x' in a.csv. Its columns are: 'a', 'b' and 2 more.",
            None,
            "a.csv 中没有列 'x'。现有列：'a', 'b' 等另外 2 个。",
        ),
        (
            "The disk is full (no room). Free some space, then go on with: python3 app runs resume r1",
            "The disk is full (no room). Free some space, then press Resume.",
            "磁盘已满（no room）。请腾出空间，然后点“继续”。",
        ),
        (
            "Run r1 is going on. Stop it first: python3 app runs stop r1",
            "Run r1 is going on. Stop it first on the Runs page.",
            "运行 r1 正在进行。请先停止它。",
        ),
        ("There is a model small already: this one will be small-2.", None, "已有模型 small：这一个将叫 small-2。"),
        ("Nobody wrote this. Try again.", None, "Nobody wrote this. 请再试一次。"),
        ("must be greater than 0 (given: -1).", None, "必须大于 0（当前：-1）。"),
        ("", None, ""),
    ],
)
def test_sentences_of_the_core_in_the_words_of_the_page(said, english, chinese):
    assert Texts("en").said(said) == (said if english is None else english)
    assert Texts("zh").said(said) == chinese


def test_the_guide_only_names_what_the_catalog_has():
    for goal in GOALS:
        for amount in AMOUNTS:
            for labels in LABELS:
                for language in LANGUAGES:
                    advice = advise(goal, amount, labels, language)
                    assert advice.teacher in catalog.catalog()
                    assert advice.student == "layers" or advice.student in catalog.catalog()
                    for reason in advice.reasons:
                        assert Texts()(f"guide.why_{reason}")


def test_every_scheme_and_format_has_chinese_words():
    keys = [f"scheme.{name}.{part}" for name in SCHEMES for part in ("title", "suits", "touches")]
    keys += [f"format.{name}.{part}" for name in FORMATS for part in ("title", "runs_on")]
    assert not set(keys) - Texts.keys("zh")


@pytest.mark.parametrize(("language", "field"), [("en", "Task"), ("zh", "任务")])
def test_the_page_names_fields_instead_of_options_but_in_commands(language, field):
    t = Texts(language)
    assert t.said("Use --task regression here.") == f"Use “{field}” regression here."
    command = "Train it first: python3 app finetune big --data FILE --task regression"
    assert t.said(command) == command
    assert t.said("Keep it with --no-such-option, or --force.") == "Keep it with --no-such-option, or --force."
