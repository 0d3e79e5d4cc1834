"""The page: a browser's way to everything that the command line does."""

from .gradio_import import without_stubs

without_stubs()
