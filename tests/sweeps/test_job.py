from __future__ import annotations

import pickle
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from memory_study.cohort import Cohort
from memory_study.config import TrialConfig
from sweeps._batch import Outcome
from sweeps._job import Job, train

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
