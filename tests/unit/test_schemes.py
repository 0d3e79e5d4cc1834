"""The table of schemes: torch-free, its size formula against files, its refusals."""

from __future__ import annotations

import subprocess
import sys
from typing import get_args

import pytest
from qtinker.errors import InputError, MissingExtra
from qtinker.quantize.schemes import SCHEMES, candidates, choose_engine, find
from qtinker.spec import Engine, Scheme


def test_the_spec_and_the_table_name_the_same_schemes():
    assert set(get_args(Scheme)) == set(SCHEMES)


def test_a_spec_names_every_engine_but_the_one_of_16_bits():
    made = {engine for scheme in SCHEMES.values() for engine in scheme.engines}
    assert {*get_args(Engine)} == {"auto", *made} - {"transformers"}


def test_each_scheme_says_what_it_does():
    for scheme in SCHEMES.values():
        words = (scheme.title, scheme.touches, scheme.keeps, scheme.size, scheme.needs, scheme.suits)
        assert all(words), scheme.name
        assert scheme.engines and scheme.to_dict()["name"] == scheme.name


def test_the_table_needs_no_torch():
    code = "import sys, qtinker.quantize; sys.exit('torch' in sys.modules or 'transformers' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], env=_environment(), check=False).returncode == 0


def test_size_formula_worked_out_by_hand():
    # 256 rows of 64: one byte a weight; a row has a float scale and a byte of zero point
    assert find("int8-dynamic").weight_bytes(256, 64) == 256 * 64 + 256 * 5
    assert find("int8-weight-only").weight_bytes(256, 64) == 256 * 64 + 256 * 4
    assert find("bf16").weight_bytes(256, 64) == 256 * 64 * 2
    # half a byte a weight; two groups of 64 a row, each a half-precision scale and four bits of zero point
    assert find("int4-weight-only").weight_bytes(256, 128) == 256 * 64 + 256 * 2 * 2 + 256 * 2 // 2


def test_unknown_scheme_and_engine_are_refused():
    with pytest.raises(InputError, match=r"no scheme 'int3'.*int8-dynamic, int4-weight-only, mixed, int8-weight-only"):
        find("int3")
    with pytest.raises(
        InputError, match=r"'abacus' can't make int8-dynamic.*--engine torchao or onnxruntime or openvino"
    ):
        choose_engine(find("int8-dynamic"), "abacus")
    with pytest.raises(InputError, match=r"openvino runs on the CPU here, not on cuda"):
        choose_engine(find("int8-static"), "openvino", device="cuda")


def test_auto_says_why(monkeypatch):
    monkeypatch.setattr("qtinker.runtime.extras.has", lambda module: False)
    choice = choose_engine(find("int8-dynamic"))
    assert choice.engine == "torchao" and "transformers loads" in choice.reason
    monkeypatch.setattr("qtinker.runtime.extras.has", lambda module: True)
    for name, on_a_gpu in (
        ("int8-dynamic", "torchao"), ("int8-weight-only", "compressed-tensors"),
        ("int4-weight-only", "compressed-tensors"),
    ):  # fmt: skip
        choice = choose_engine(find(name))
        assert choice.engine == "openvino" and "fastest" in choice.reason
        assert choose_engine(find(name), device="cuda").engine == on_a_gpu
    assert [each.engine for each in candidates(find("int8-dynamic"))] == ["openvino", "torchao", "onnxruntime"]
    assert [each.engine for each in candidates(find("int8-dynamic"), "onnxruntime")] == ["onnxruntime"]
    assert [each.engine for each in candidates(find("int8-dynamic"), device="cuda")] == ["torchao"]
    # OpenVINO without NNCF runs models, and makes none.
    monkeypatch.setattr("qtinker.runtime.extras.has", lambda module: module == "openvino")
    assert choose_engine(find("int8-weight-only")).engine == "compressed-tensors"
    assert choose_engine(find("int8-static")).engine == "openvino"
    with pytest.raises(
        MissingExtra, match=r"openvino makes int8-static with nncf, which is not installed.*pip install"
    ):
        candidates(find("int8-static"))
    with pytest.raises(MissingExtra, match=r"openvino makes int8-weight-only with nncf"):
        candidates(find("int8-weight-only"), "openvino")
    with pytest.raises(MissingExtra, match=r"onnxruntime makes int8-dynamic with onnx and onnxruntime and onnxscript"):
        candidates(find("int8-dynamic"), "onnxruntime")
    assert [each.engine for each in candidates(find("int8-dynamic"))] == ["torchao"]


def _environment() -> dict[str, str]:
    import os
    from pathlib import Path

    return {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2] / "app")}


def test_the_page_on_schemes_is_up_to_date():
    import runpy
    from pathlib import Path

    root = Path(__file__).resolve().parents[2]
    made = runpy.run_path(str(root / "docs" / "make_schemes.py"))["text"]()
    assert (root / "docs" / "quantization.md").read_text(encoding="utf-8") == made, "run python docs/make_schemes.py"
