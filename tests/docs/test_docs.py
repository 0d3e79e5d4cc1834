"""What the documents promise exists: commands parse, Python names are there, settings are described, links lead on."""

from __future__ import annotations

import ast
import re
import runpy
import shlex
from pathlib import Path

import pytest
import typer
from qtinker.cli.program import build
from qtinker.options import distill_options

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])


def commands(text: str) -> list[str]:
    """Every `python3 app ...` line of the shell blocks and indented blocks of a page."""
    joined = text.replace("\\\n", " ")
    return re.findall(r"^(?: {4})?(?:\.venv/bin/)?python3? app (\S.*?)(?:\s+#.*|\s+>.*)?$", joined, re.MULTILINE)


def inline(text: str) -> list[str]:
    """Every `python3 app ...` in running text that is a whole command: no dots or capitals that stand for something."""
    found = re.findall(r"`python3 app ([^`]+)`", " ".join(text.split()))
    return [each for each in found if "..." not in each and not re.search(r"\b[A-Z]{2,}\b", each)]


def all_commands() -> list[tuple[str, str]]:
    texts = {page.name: page.read_text(encoding="utf-8") for page in PAGES}
    return [(name, each) for name, text in texts.items() for each in [*commands(text), *inline(text)]]


@pytest.mark.parametrize(("page", "command"), all_commands())
def test_every_command_is_understood(page, command):
    arguments = shlex.split(command)
    if arguments == ["--help"]:
        return
    node = typer.main.get_command(build())
    while hasattr(node, "commands"):
        if not arguments or arguments[0] not in node.commands:
            assert not [each for each in arguments if not each.startswith("-")], f"{page}: no verb {arguments[0]}"
            break
        node, arguments = node.commands[arguments[0]], arguments[1:]
    if "--help" not in arguments:
        node.make_context(command, arguments)  # parses and checks, and starts nothing


def test_readme_has_commands():
    verbs = {command.split()[0] for command in commands((ROOT / "README.md").read_text(encoding="utf-8"))}
    assert {"demo", "test", "download", "data", "finetune", "distill", "predict", "run", "evaluate"} <= verbs


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_python_blocks_use_what_exists(page):
    import qtinker

    for block in re.findall(r"^```python\n(.*?)^```", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL):
        for node in ast.walk(ast.parse(block)):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "qtinker":
                assert callable(getattr(qtinker, node.attr)), f"{page.name}: qtinker.{node.attr}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_to_files(page):
    for target in re.findall(r"\]\((?!https?:|#|mailto:)([^)#\s]+)", page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_settings_page_is_current():
    made = runpy.run_path(str(ROOT / "docs" / "make_settings.py"))["page"]()
    assert (ROOT / "docs" / "settings.md").read_text(encoding="utf-8") == made, "run: python docs/make_settings.py"


def test_every_setting_is_documented():
    page = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")
    missing = [each.field for each in distill_options() if f"| `{each.field}` |" not in page]
    assert missing == ["preset"]  # which is no setting, and described with those that it fills in


@pytest.mark.parametrize("option", distill_options(), ids=lambda option: option.field)
def test_every_setting_has_words(option):
    assert option.title
    assert option.description


def test_no_page_names_this_machine():
    for page in PAGES:
        assert not re.search(r"/work/|/tmp/|/root/", page.read_text(encoding="utf-8")), page.name
