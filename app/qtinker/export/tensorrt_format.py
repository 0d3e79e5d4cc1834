"""TensorRT: the ONNX graph with the script that builds an engine from it on the machine that has the GPU.

An engine fits one GPU and one version of TensorRT, so it is built where it runs. The graph is checked with ONNX
Runtime; the engine itself is not (see the card).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from . import onnx_format

EXAMPLE = onnx_format.EXAMPLE
BUILDER = '''"""Builds model.engine from model.onnx, on the machine with the GPU:  python build_engine.py

Needs: pip install tensorrt. The same by the command line tool:

    {trtexec}

The precision is that of the graph (float32, computed in TF32 where the GPU has it).
"""

from pathlib import Path

import tensorrt

folder = Path(__file__).parent
names = {names}
logger = tensorrt.Logger(tensorrt.Logger.WARNING)
builder = tensorrt.Builder(logger)
network = builder.create_network(0)
parser = tensorrt.OnnxParser(network, logger)
if not parser.parse((folder / "model.onnx").read_bytes()):
    raise SystemExit("\\n".join(str(parser.get_error(number)) for number in range(parser.num_errors)))
config = builder.create_builder_config()
profile = builder.create_optimization_profile()
for name in names:
    profile.set_shape(name, (1, 1), (8, {typical}), (64, {longest}))
config.add_optimization_profile(profile)
engine = builder.build_serialized_network(network, config)
if engine is None:
    raise SystemExit("TensorRT could not build an engine.")
(folder / "model.engine").write_bytes(engine)
print(f"Built {{folder / 'model.engine'}}")
'''


def write(model: Any, tokenizer: Any, folder: Path, *, length: int = 128) -> dict[str, Any]:
    """Write `model.onnx`, `build_engine.py` and note the trtexec line.

    Raises:
        MissingExtra: onnx or onnxscript is not installed.
    """
    notes = onnx_format.write(model, tokenizer, folder)
    names, typical = notes["inputs"], min(length, 64)

    def shapes(batch: int, width: int) -> str:
        return ",".join(f"{name}:{batch}x{width}" for name in names)

    line = (
        f"trtexec --onnx=model.onnx --saveEngine=model.engine --minShapes={shapes(1, 1)} "
        f"--optShapes={shapes(8, typical)} --maxShapes={shapes(64, length)}"
    )
    script = BUILDER.format(trtexec=line, names=names, typical=typical, longest=length)
    (folder / "build_engine.py").write_text(script, encoding="utf-8")
    return {**notes, "trtexec": line}
