"""Runs one verb for the page in a process of its own: `python -m qtinker.ui.child FOLDER`.

FOLDER/request.json names the arguments; the verb's output goes to `stdout` and `stderr`, and at the very end its
exit status to `exit.json`, so that a page that was restarted in the meantime still learns how it ended.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import FrameType


def main(folder: Path) -> int:
    """Run the request in `folder`; the exit status of the verb."""
    request = json.loads((folder / "request.json").read_text(encoding="utf-8"))
    with (folder / "stdout").open("wb") as out, (folder / "stderr").open("wb") as err:
        child = subprocess.Popen(
            [sys.executable, "-P", "-m", request["module"], *request["arguments"]],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
        )

        def pass_on(number: int, _frame: FrameType | None) -> None:
            child.send_signal(number) if os.name != "nt" else child.terminate()

        signal.signal(signal.SIGTERM, pass_on)
        signal.signal(signal.SIGINT, pass_on)
        status = child.wait()
    part = folder / ".exit.json"
    part.write_text(json.dumps({"status": status, "ended": time.time()}), encoding="utf-8")
    part.replace(folder / "exit.json")
    return status


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
