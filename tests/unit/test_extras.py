"""Optional libraries: what is missing is named with the command, and installed by it into this environment."""

from __future__ import annotations

import json
import sys
import zipfile
from types import SimpleNamespace

import pytest
from qtinker.cli import main
from qtinker.errors import InputError, QTinkerError
from qtinker.runtime import extras
from qtinker.ui import extras_card, quantize_page
from qtinker.ui.texts import Texts

NAME = "qtinker_made_for_a_test"


def wheel(folder, needs=""):
    """A package that any pip installs."""
    info = f"{NAME}-1.0.dist-info"
    with zipfile.ZipFile(folder / f"{NAME}-1.0-py3-none-any.whl", "w") as archive:
        archive.writestr(f"{NAME}.py", "answer = 42\n")
        wants = f"Requires-Dist: {needs}\n" if needs else ""
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {NAME}\nVersion: 1.0\n{wants}")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")


def test_an_extra_is_installed_by_the_verb_and_its_failure_told(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(extras.EXTRAS, "onnx", ("onnx", NAME))
    monkeypatch.setattr(extras, "has", lambda module, real=extras.has: module == "onnx" or real(module))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_TARGET", str(tmp_path / "site"))
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    with pytest.raises(QTinkerError, match=rf"pip could not install {NAME}: .*(No matching|no matching).*") as caught:
        extras.install("onnx")
    assert caught.value.fix.startswith("Try it by hand: ") and "-m pip install onnx" in caught.value.fix
    (tmp_path / "wheels").mkdir()
    wheel(tmp_path / "wheels")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "wheels"))
    assert main(["extras", "onnx", "--json"]) == 0
    said = json.loads(capsys.readouterr().out.strip().splitlines()[-1])
    assert said["newly_installed"] == {"onnx": [NAME]} and said["extras"]["onnx"]["installed"] is True
    assert __import__(NAME).answer == 42 and extras.is_here("onnx")
    assert main(["extras", "onnx"]) == 0 and "onnx: was here already" in capsys.readouterr().out
    sys.modules.pop(NAME)


def test_an_extra_that_wants_another_torch_is_not_installed(tmp_path, monkeypatch):
    monkeypatch.setitem(extras.EXTRAS, "onnx", (NAME,))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_TARGET", str(tmp_path / "site"))
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    wheel(tmp_path, needs="torch<2")
    with pytest.raises(QTinkerError, match=rf"pip could not install {NAME}: .*depends on torch<2"):
        extras.install("onnx")


@pytest.mark.parametrize("bring", [True, False])
def test_a_pip_comes_first_where_there_is_none(monkeypatch, bring):
    monkeypatch.setitem(extras.EXTRAS, "onnx", (NAME,))
    here: list[str] = []

    def run(command, **_):
        here.extend({"ensurepip": ["pip"] if bring else [], "pip": [NAME] if "pip" in here else []}[command[2]])
        return SimpleNamespace(stdout="", stderr="", returncode=0)

    monkeypatch.setattr(extras, "has", lambda module: module in here)
    monkeypatch.setattr(extras.subprocess, "run", run)
    if bring:
        assert extras.install("onnx") == [NAME]
        return
    with pytest.raises(QTinkerError, match=r"There is no pip in .* Install pip into it"):
        extras.install("onnx")


def test_only_what_is_known_is_installed():
    for asked in (extras.install, extras_card.begin_install):
        with pytest.raises(InputError, match=r"no extra 'requests'.*onnx, openvino"):
            asked("requests")


def test_what_was_installed_is_offered_at_once(monkeypatch):
    monkeypatch.setattr(extras, "has", lambda module: False)
    t = Texts("en")
    before = quantize_page.offered_now(("onnx", "int8-static", "auto", "onnx"), t)
    assert before[0] == "" and [value for _, value in before[1].choices] == quantize_page.schemes_here()
    assert before[1].value != "int8-static" and before[6].value == "torch-export"
    assert all(each.visible for each in extras_card.installable())
    monkeypatch.setattr(extras, "has", lambda module: module in extras.EXTRAS["openvino"])
    asked = ("int8-static", "openvino", "openvino")
    now, scheme, no_schemes, engine, lacking, examples, form, no_formats = quantize_page.offered_now(("", *asked), t)
    assert now == "openvino" and len(set(map(str, quantize_page.offered_now((now, *asked), t)))) == 1  # nothing changes
    assert scheme.value == "int8-static" and [value for _, value in engine.choices] == ["auto", "openvino"]
    assert engine.value == "openvino" and examples.visible and form.value == "openvino"  # what was chosen stays
    assert no_schemes == lacking == "" and "openvino" not in no_formats and "onnx" in no_formats
    shown = dict(zip(["card", *extras.EXTRAS], [each.visible for each in extras_card.installable()], strict=True))
    assert shown.pop("card") and not shown.pop("openvino") and all(shown.values())
    monkeypatch.setattr(extras, "has", lambda module: True)
    assert not any(each.visible for each in extras_card.installable())
