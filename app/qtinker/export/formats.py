"""The formats to export to. Torch-free, so that every border can show them."""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import InputError


@dataclass(frozen=True)
class Format:
    """One form that runs elsewhere.

    Attributes:
        extra: the extra that installs what it needs; empty: nothing beside the program.
        file: the main file of the folder.
        runs_on: words on where it runs.
        tolerance: most that a logit may differ from the source's, relative to their size.
        runner: the extra that runs it for the check, where that is another; it is checked where that is installed.
        unchecked: why the file itself can't be run here; empty: it can.
        fixed: whether it is made for texts of one length (or a few), so that the longest is given when exporting.
    """

    name: str
    title: str
    extra: str
    file: str
    runs_on: str
    tolerance: float
    runner: str = ""
    unchecked: str = ""
    fixed: bool = False


FORMATS: dict[str, Format] = {
    form.name: form
    for form in (
        Format(
            name="onnx",
            title="ONNX, opset 18, any shape",
            extra="onnx",
            file="model.onnx",
            runs_on="ONNX Runtime in Python, C, C#, Java, JavaScript and on phones; most other inference engines",
            tolerance=1e-3,
        ),
        Format(
            name="openvino",
            title="OpenVINO IR, any shape",
            extra="openvino",
            file="openvino_model.xml",
            runs_on="OpenVINO on Intel, AMD and ARM processors, in Python and C++; usually the fastest on a CPU",
            # bfloat16, which OpenVINO computes in where the processor has it, keeps 8 bits.
            tolerance=5e-2,
        ),
        Format(
            name="torch-export",
            title="torch.export, any shape",
            extra="",
            file="model.pt2",
            runs_on="PyTorch without the model's code; AOTInductor and other compilers start from it",
            tolerance=1e-3,
        ),
        Format(
            name="gguf",
            title="GGUF, F16",
            extra="gguf",
            file="model.gguf",
            runs_on="llama.cpp and what is built on it, as a reranker (BERT classifiers of single texts)",
            tolerance=2e-2,
            runner="llama",
        ),
        Format(
            name="gguf-q8_0",
            title="GGUF, Q8_0 (8 bits)",
            extra="gguf",
            file="model.gguf",
            runs_on="llama.cpp and what is built on it, as a reranker (BERT classifiers of single texts)",
            tolerance=1e-1,
            runner="llama",
        ),
        Format(
            name="gguf-q4_0",
            title="GGUF, Q4_0 (4 bits)",
            extra="gguf",
            file="model.gguf",
            runs_on="llama.cpp and what is built on it, as a reranker (BERT classifiers of single texts)",
            tolerance=1.0,
            runner="llama",
        ),
        Format(
            name="executorch",
            title="ExecuTorch, single texts",
            extra="executorch",
            file="model.pte",
            runs_on="phones and small devices, by XNNPACK (BERT and DistilBERT)",
            tolerance=1e-3,
            fixed=True,
        ),
        Format(
            name="executorch-int8",
            title="ExecuTorch INT8, single texts",
            extra="executorch",
            file="model.pte",
            runs_on="phones and small devices, by XNNPACK; linear layers in INT8 (BERT and DistilBERT)",
            tolerance=5e-1,
            fixed=True,
        ),
        Format(
            name="coreml",
            title="Core ML, float16, single texts",
            extra="coreml",
            file="model.mlpackage",
            runs_on="macOS 15 and iOS 18 or later (BERT and DistilBERT)",
            tolerance=5e-2,
            unchecked="Core ML runs on Apple's systems only, so its answers were not compared with its source's",
            fixed=True,
        ),
        Format(
            name="tensorrt",
            title="TensorRT, built from ONNX",
            extra="onnx",
            file="model.onnx",
            runs_on="NVIDIA GPUs; the engine is built where it runs, by build_engine.py or trtexec. Not verified: only "
            "the ONNX graph was run, with ONNX Runtime",
            tolerance=1e-3,
            fixed=True,
        ),
    )
}


def find_format(name: str) -> Format:
    """The format of that name.

    Raises:
        InputError: there is none.
    """
    if name not in FORMATS:
        raise InputError(f"There is no format {name!r}.", f"Choose one of: {', '.join(FORMATS)}.")
    return FORMATS[name]
