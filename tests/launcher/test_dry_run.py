"""Which torch each machine would get: install.js and torch.js played through by the real engine, without shells."""

from __future__ import annotations

import re
import shutil
from typing import Any

import pytest
from engine import ROOT, App

pytestmark = pytest.mark.pinokio
PINNED = re.search(r"(?m)^torch==([\d.]+)$", (ROOT / "requirements.txt").read_text(encoding="utf-8"))[1]
INDEX = "https://download.pytorch.org/whl/"
SAYS = [
    ["importlib.metadata", "torch 9.9.9+dry is here"], ["doctor", "All is well."],
    ["app ui", "QTinker is running at http://127.0.0.1:42003"],
]  # fmt: skip


def nvidia(name: str, driver: str | None) -> dict[str, Any]:
    card = {"vendor": "NVIDIA Corporation", "model": "ga102 [geforce]", "name": name, "driverVersion": driver}
    return {"gpu": "nvidia", "gpu_model": name.lower(), "graphics": {"controllers": [card]}}


def other_card(gpu: str, vendor: str) -> dict[str, Any]:
    return {"gpu": gpu, "gpu_model": "x", "graphics": {"controllers": [{"vendor": vendor, "model": "x", "name": "x"}]}}


NONE = {"gpu": "none", "gpu_model": None, "graphics": {"controllers": []}}
AMD = other_card("amd", "Advanced Micro Devices, Inc. [AMD/ATI]")
INTEL = other_card("intel corporation", "Intel Corporation")
APPLE = other_card("apple", "Apple")
LAPTOP = {  # an Intel card beside the NVIDIA one
    **nvidia("NVIDIA GeForce RTX 4060 Laptop GPU", "581.15"),
}
LAPTOP["graphics"] = {"controllers": [*INTEL["graphics"]["controllers"], *LAPTOP["graphics"]["controllers"]]}

MACHINES = [
    ("linux", "x64", nvidia("NVIDIA GeForce RTX 4090", "580.65.06"), "cu130"),
    ("linux", "x64", nvidia("NVIDIA GeForce RTX 3090", "595.10"), "cu130"),
    ("linux", "x64", nvidia("NVIDIA GeForce RTX 5090", "580.95.05"), "cu130"),
    ("linux", "x64", nvidia("NVIDIA H100 80GB HBM3", "575.57.08"), "cu126"),
    ("linux", "x64", nvidia("NVIDIA GeForce RTX 3090", "525.60.13"), "cu126"),
    ("linux", "x64", nvidia("NVIDIA GeForce RTX 3090", "470.256.02"), "cpu"),
    ("linux", "x64", nvidia("NVIDIA GeForce RTX 5070 Ti", "570.86.10"), "cpu"),  # no cu126 for Blackwell
    ("linux", "x64", nvidia("NVIDIA GeForce GTX 1080 Ti", "580.95.05"), "cu126"),  # no cu130 for Pascal
    ("linux", "x64", nvidia("NVIDIA GeForce 940MX", "580.95.05"), "cu126"),  # nor for Maxwell, GTX or not
    ("linux", "x64", nvidia("NVIDIA GeForce GTX 1080 Ti, NVIDIA GeForce RTX 5090", "580.95.05"), "cu130"),  # the newer
    ("linux", "x64", nvidia("Tesla V100-SXM2-16GB", "580.95.05"), "cu126"),
    ("linux", "x64", nvidia("NVIDIA GeForce GTX 1660 Ti", "580.95.05"), "cu130"),  # Turing in spite of its name
    ("linux", "x64", nvidia("NVIDIA TITAN RTX", "580.95.05"), "cu130"),
    ("linux", "x64", nvidia("NVIDIA GeForce RTX 4090", None), "cu126"),  # nvidia-smi told nothing
    ("linux", "x64", nvidia("NVIDIA RTX PRO 6000 Blackwell Workstation Edition", None), "cu130"),
    ("linux", "arm64", nvidia("NVIDIA GB10", "580.95.05"), "cu130"),
    ("linux", "x64", AMD, "rocm7.2"),
    ("linux", "arm64", AMD, "cpu"),
    ("linux", "x64", INTEL, "cpu"),
    ("linux", "x64", NONE, "cpu"),
    ("linux", "arm64", NONE, "cpu"),
    ("win32", "x64", nvidia("NVIDIA GeForce RTX 4090", "581.29"), "cu130"),
    ("win32", "x64", nvidia("NVIDIA GeForce RTX 4090", "32.0.15.8129"), "cu130"),  # as Windows counts: 581.29
    ("win32", "x64", nvidia("NVIDIA GeForce RTX 3060", "32.0.15.6094"), "cu126"),  # 560.94
    ("win32", "x64", nvidia("NVIDIA GeForce RTX 3060", "527.41"), "cpu"),  # CUDA 12.6 needs 528 there
    ("win32", "x64", nvidia("NVIDIA GeForce GTX 970", "560.94"), "cu126"),
    ("win32", "arm64", nvidia("NVIDIA GeForce RTX 4090", "581.29"), "cpu"),
    ("win32", "x64", LAPTOP, "cu130"),
    ("win32", "x64", AMD, "cpu"),  # no ROCm and no DirectML for this torch
    ("win32", "x64", INTEL, "cpu"),
    ("win32", "x64", NONE, "cpu"),
    ("win32", "arm64", NONE, "cpu"),
    ("darwin", "arm64", APPLE, ""),
]


def machine(platform: str, arch: str, card: dict[str, Any]) -> dict[str, Any]:
    return {"platform": platform, "arch": arch, **card}


def play(app: App, script: str, facts: dict[str, Any], says: list[list[str]] = SAYS, **given: str) -> dict[str, Any]:
    return app.engine.ask("dry", uri=app.uri(script), input=given, machine=facts, says=says)


def commands(played: dict[str, Any]) -> list[str]:
    """What was given to shells, one command each."""
    found: list[str] = []
    for shell in played["shells"]:
        found += shell["message"] if isinstance(shell["message"], list) else [shell["message"]]
    return found


def expected(build: str) -> str:
    if not build:
        return f'uv pip install "torch=={PINNED}"'
    return f'uv pip install "torch=={PINNED}+{build}" --index-url {INDEX}{build}'


CASES = [("install.js", *each) for each in MACHINES] + [("update.js", *each) for each in MACHINES[-3:]]


@pytest.mark.parametrize(("script", "platform", "arch", "card", "build"), CASES)
def test_one_torch_once(other, script, platform, arch, card, build):
    played = play(other, script, machine(platform, arch, card))
    assert (played["how"], played["errors"]) == ("done", [])
    given = commands(played)
    assert [each for each in given if "torch==" in each] == [expected(build)]
    told = "driver of the NVIDIA card is too old" in played["raw"]
    assert told == (card["gpu"] == "nvidia" and build == "cpu" and arch == "x64")
    assert given.index("uv pip install -r requirements.txt") > given.index(expected(build))
    assert "python app doctor" in given
    for shell in played["shells"]:
        if "venv" in shell:
            assert {"GRADIO_ALLOWED_PATHS", "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"} <= set(shell["without"])
            assert (shell["venv"], shell["venv_python"]) == ("app/env", "3.11")


def test_a_mirror_takes_the_place_of_the_index(other):
    other.environment(QTINKER_TORCH_INDEX="https://mirror.example/torch")
    try:
        given = commands(play(other, "torch.js", machine("linux", "x64", NONE)))
    finally:
        (other.folder / "ENVIRONMENT").unlink()
    assert given[0] == f'uv pip install "torch=={PINNED}+cpu" --index-url https://mirror.example/torch'


@pytest.mark.parametrize("script", ["torch.js", "install.js"])
def test_intel_mac_is_told(other, script):
    played = play(other, script, machine("darwin", "x64", INTEL))
    assert played["how"] == "error"
    assert "cannot run on a Mac with an Intel processor" in played["errors"][0]
    assert len(played["shells"]) == 1


@pytest.mark.parametrize("script", ["install.js", "update.js"])
def test_nothing_is_taken_for_done_that_did_not_say_so(other, script):
    here = machine("linux", "x64", NONE)
    played = play(other, script, here, says=[])
    assert played["how"] == "error"
    assert "PyTorch was not installed" in played["errors"][0]
    assert "uv pip install -r requirements.txt" not in commands(played)
    assert other.running() == []  # torch.js too, or it could not be started again
    played = play(other, script, here, says=SAYS[:1])
    assert played["how"] == "error"
    assert "not complete" in played["errors"][0]
    assert not [each for each in commands(played) if "app download" in each]


def test_every_package_version_is_quoted(other):
    for script in ("install.js", "update.js", "torch.js", "start.js", "link.js", "download.js", "reset.js"):
        for command in commands(play(other, script, machine("linux", "x64", NONE), everything="yes")):
            bare = re.sub(r'"[^"]*"', "", command)
            assert not re.search(r"[<>]|==", bare), command
        other.stop(script)


def test_what_is_removed(other):
    here = machine("linux", "x64", NONE)
    activate = other.folder / "app" / "env" / "bin" / "activate"
    activate.parent.mkdir(parents=True)
    activate.touch()
    try:
        assert play(other, "install.js", here)["removed"] == ["app/env/.qtinker-ready"]
        assert play(other, "install.js", here, fresh="yes")["removed"] == ["app/env/.qtinker-ready", "app/env"]
        activate.unlink()  # never finished
        assert play(other, "install.js", here)["removed"] == ["app/env/.qtinker-ready", "app/env"]
    finally:
        shutil.rmtree(other.folder / "app" / "env")
    assert play(other, "install.js", here)["removed"] == ["app/env/.qtinker-ready"]
    assert play(other, "update.js", here)["removed"] == []
    assert play(other, "link.js", here)["removed"] == []
    assert play(other, "reset.js", here)["removed"] == ["app/env"]
    everything = ["app/env", "runs", "sweeps", "cache", "ui.log", "bert_models"]
    assert play(other, "reset.js", here, everything="yes")["removed"] == everything


def test_only_known_sets_become_part_of_a_command(other):
    here = machine("linux", "x64", NONE)
    for name in ("recommended", "students", "teachers", "large", "multilingual", "all"):
        assert commands(play(other, "download.js", here, set=name)) == [f"python app download --set {name}"]
    for name in ("", "x; touch hacked", "all && touch hacked"):
        assert commands(play(other, "download.js", here, set=name)) == ["python app download --set recommended"]


def test_scripts_are_for_this_schema():
    for script in ("install.js", "update.js", "start.js"):
        assert 'requires: { bundle: "ai" }' in (ROOT / script).read_text(encoding="utf-8")
    assert 'version: "7.0"' in (ROOT / "pinokio.js").read_text(encoding="utf-8")
