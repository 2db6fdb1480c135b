from __future__ import annotations

import pickle
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch

from memory_study.cohort import Cohort
from memory_study.config import TrialConfig
from sweeps._batch import Outcome
from sweeps._job import Job, NodeError, check_code, check_node, train
from sweeps._version import running_code

ROOT = Path(__file__).parents[2]


class Kept:
    def __init__(self) -> None:
        self.outcomes: list[Outcome] = []
        self.beats: list[int] = []

    def submit(self, batch: Sequence[Outcome]) -> None:
        self.outcomes += batch

    def beat(self, cohort: str, epoch: int) -> None:
        self.beats.append(epoch)


def test_results_can_be_read_without_torch(tmp_path: Path) -> None:
    """So that the tracker's process need not import it."""
    config = TrialConfig(width=4, train_size=20, batch_size=10, epochs=1, csr_examples=0)
    kept = Kept()
    train(Cohort((config,)), Job(Path(), "cpu", False, "", "", {}), kept, gpu=0)
    assert (kept.beats[0], kept.beats[-1], len(kept.outcomes)) == (0, -1, 1)
    (tmp_path / "outcomes").write_bytes(pickle.dumps(kept.outcomes))
    code = "import pickle, sys; read = pickle.load(sys.stdin.buffer); print(read[0].config.id, 'torch' in sys.modules)"
    with (tmp_path / "outcomes").open("rb") as file:
        done = subprocess.run(
            [sys.executable, "-c", code], stdin=file, capture_output=True, check=True, cwd=ROOT
        )
    assert done.stdout.decode().split() == [config.id, "False"]


def job(location: Path = Path(), device: str = "auto", code: str = "") -> Job:
    return Job(location, device, False, "", "", {}, code=code)


def test_a_node_with_other_code_does_not_train() -> None:
    check_code(job(code=running_code()))
    with pytest.raises(NodeError, match="the driver has other; install the same version"):
        check_code(job(code="other"))


def test_a_node_without_the_data_does_not_train(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its trials are not to blame, and would fail one after the other."""
    check_node(TrialConfig(), job(tmp_path), 0)
    (tmp_path / "MNIST").write_text("a file in the place of the data")
    with pytest.raises(NodeError, match="cannot load the data"):
        check_node(TrialConfig(dataset="mnist"), job(tmp_path), 0)


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_a_node_without_a_gpu_does_not_train_what_asks_for_one() -> None:
    check_node(TrialConfig(), job(device="auto"), 0.5)
    with pytest.raises(NodeError, match="no GPU that torch can use"):
        check_node(TrialConfig(), job(device="cuda"), 0.5)
