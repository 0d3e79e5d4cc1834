"""The formats to export to. Torch-free, so that every border can show them."""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import InputError


@dataclass(frozen=True)
class Format:
    """One form that runs elsewhere.

    Attributes:
        extra: the extra that installs what it needs.
        file: the main file of the folder.
        runs_on: words on where it runs.
        tolerance: most that a logit may differ from the source's, relative to their size.
    """

    name: str
    title: str
    extra: str
    file: str
    runs_on: str
    tolerance: float


FORMATS: dict[str, Format] = {
    form.name: form
    for form in (
        Format(
            name="onnx",
            title="ONNX, opset 18, any batch and length",
            extra="onnx",
            file="model.onnx",
            runs_on="ONNX Runtime in Python, C, C#, Java, JavaScript and on phones; most other inference engines",
            tolerance=1e-3,
        ),
        Format(
            name="openvino",
            title="OpenVINO IR, any batch and length",
            extra="openvino",
            file="openvino_model.xml",
            runs_on="OpenVINO on Intel, AMD and ARM processors, in Python and C++; usually the fastest on a CPU",
            # bfloat16, which OpenVINO computes in where the processor has it, keeps 8 bits.
            tolerance=5e-2,
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
