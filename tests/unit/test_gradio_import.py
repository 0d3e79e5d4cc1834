"""Gradio is imported without rewriting its own files, and is whole."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

PROGRAM = """
import sys
from qtinker.ui import gradio_import
gradio_import.without_stubs()
gradio_import.without_stubs()
assert sum(type(finder).__name__ == "_Finder" for finder in sys.meta_path) == 1
import gradio, gradio.component_meta
assert not any(type(finder).__name__ == "_Finder" for finder in sys.meta_path)
assert gradio.component_meta.create_or_modify_pyi(None, "", []) is None
with gradio.Blocks() as page:
    gradio.Textbox().change(lambda text: text, None, None)
gradio_import.without_stubs()
print("whole", "_Finder" in str(sys.meta_path))
"""


def test_gradio_is_whole_without_the_stubs():
    app = Path(__file__).resolve().parents[2] / "app"
    done = subprocess.run([sys.executable, "-c", PROGRAM], cwd=app, capture_output=True, text=True, check=False)
    assert done.stdout.strip().endswith("whole False"), done.stderr[-2000:]
