"""A child process that holds models open and answers texts, so that the page itself never imports torch."""

from __future__ import annotations


def stop() -> None:
    """End the process, if there is one."""
