from __future__ import annotations
import gradio as gr
from .app import Shell
def build(shell: Shell) -> None:
    gr.HTML("")
