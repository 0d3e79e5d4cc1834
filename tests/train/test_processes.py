"""Two processes that train together end where one does with the same batches."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import tiny
import torch
from safetensors.torch import load_file
from training_job import job

pytestmark = pytest.mark.train


@pytest.mark.skipif(sys.platform == "win32", reason="torchrun's rendezvous is not there on Windows")
@pytest.mark.parametrize("name", ["feature"])
def test_two_processes_end_where_one_does(name, tmp_path):
    """Feature has projections, counts tokens and pairs, and has two stages; some labels are missing."""
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command = [*launch, str(Path(__file__).with_name("training_job.py")), name, str(tmp_path), "share"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[:3000]
    first, second = (load_file(tmp_path / f"{rank}.safetensors") for rank in range(2))
    alone, _, events = job(name, tmp_path / "alone", dropout=0.0, learning_rate=1e-4)
    for key, weight in tiny.weights(alone).items():
        assert torch.equal(first[key], second[key]), key
        assert torch.allclose(first[key], weight, atol=5e-6, rtol=0), key
    told = [event for event in json.loads((tmp_path / "0.json").read_text(encoding="utf-8")) if event["kind"] == "step"]
    expected = [event for event in events if event["kind"] == "step"]
    assert told[0]["loss"] == pytest.approx(expected[0]["loss"], rel=1e-5)
    assert told[0]["parts"] == pytest.approx(expected[0]["parts"], rel=1e-4)
