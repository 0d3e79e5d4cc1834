"""Run pip with one line of progress on the terminal and its whole text in a log. Standard library only."""

from __future__ import annotations

import contextlib
import os
import queue
import re
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import IO


class Pip:
    """Runs pip, its text into the log, one line of progress for the user."""

    def __init__(self, command: list[str], log: Path, held: IO[str]) -> None:
        self.command, self.log, self.held, self.line = command, log, held, Line()
        self.output: list[str] = []
        self.log.write_text("", encoding="utf-8")

    def install(self, *arguments: str) -> bool:
        """Whether `pip install ARGUMENTS` worked. The user's own pip settings hold."""
        settings = {"PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_NO_INPUT": "1", "PIP_USER": "0", "PYTHONUNBUFFERED": "1"}
        command = [*self.command, "install", "--progress-bar", "off", *arguments]
        self.output = []
        process = subprocess.Popen(
            command,
            env=os.environ | settings,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            text=True,
            encoding="utf-8",
            errors="replace",
            # pip inherits the lock: if we are killed, it is held until pip has ended too
            pass_fds=(self.held.fileno(),) if os.name != "nt" else (),
        )
        lines: queue.Queue[str | None] = queue.Queue()
        threading.Thread(target=self._read, args=(process, lines), daemon=True).start()
        try:
            with self.log.open("a", encoding="utf-8") as log:
                log.write(f"$ {' '.join(command)}\n")
                self._follow(lines, log)
            return process.wait() == 0
        finally:
            if process.poll() is None:
                process.terminate()
                process.wait()

    def _read(self, process: subprocess.Popen[str], lines: queue.Queue[str | None]) -> None:
        assert process.stdout is not None
        for text in process.stdout:
            lines.put(text)
        lines.put(None)

    def _follow(self, lines: queue.Queue[str | None], log: IO[str]) -> None:
        while True:
            with contextlib.suppress(queue.Empty):
                text = lines.get(timeout=1)
                if text is None:
                    return
                log.write(text)
                self.output.append(text.strip())
                self.line.note(text.strip())
            self.line.draw()

    def reason(self) -> str:
        """pip's own complaint, in one line; the lines around it are printed."""
        self.line.end("")
        print("\n".join(self.output[-15:]), file=sys.stderr)
        complaints = [text for text in self.output if text.startswith("ERROR:")]
        return complaints[-1].removeprefix("ERROR:").strip().rstrip(".") + "." if complaints else "pip gave no reason."


class Line:
    """One line that tells how the installation goes: redrawn on a terminal, now and then elsewhere."""

    def __init__(self) -> None:
        self.started, self.drawn, self.doing, self.count = time.monotonic(), 0.0, "starting", 0
        self.redraws = sys.stderr.isatty()
        print("Installing what QTinker needs (once; a few minutes).", file=sys.stderr, flush=True)

    def note(self, text: str) -> None:
        """Learn from a line of pip's what it does now."""
        if match := re.match(r"Collecting ([\w.-]+)", text):
            self.count += 1
            self.doing = f"finding {match[1]}"
        elif match := re.match(r"Downloading (?:\S*/)?([\w.+!-]+?)(?:-(?:cp|py)\d\S*)? (\([\d.]+ \w+\))", text):
            self.doing = f"fetching {match[1]} {match[2]}"
        elif text.startswith("Installing collected packages:"):
            self.doing = f"unpacking {text.count(',') + 1} packages"

    def draw(self) -> None:
        """Show it, at most five times a second (every half minute where lines can't be redrawn)."""
        now = time.monotonic()
        if now - self.drawn < (0.2 if self.redraws else 30):
            return
        self.drawn = now
        minutes, seconds = divmod(int(now - self.started), 60)
        text = f"  {minutes}:{seconds:02d}  {self.count} packages, {self.doing}"
        width = shutil.get_terminal_size().columns - 1
        print(
            f"\r{text[:width]:<{width}}" if self.redraws else text,
            end="" if self.redraws else "\n",
            file=sys.stderr,
            flush=True,
        )

    def end(self, text: str) -> None:
        """Close the line with a last word."""
        if self.redraws:
            print("\r" + " " * (shutil.get_terminal_size().columns - 1) + "\r", end="", file=sys.stderr)
        if text:
            print(text, file=sys.stderr, flush=True)
