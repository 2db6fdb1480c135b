from __future__ import annotations

import pickle
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from memory_study.cohort import Cohort
from memory_study.config import TrialConfig
from memory_study.record import Record
from sweeps import _peaks
from sweeps._batch import Outcome, outcomes
from sweeps._checkpoints import Folder
from sweeps._cost import GIB, GPU_CONTEXT_BYTES
from sweeps._job import Job, NodeError, cap_memory, check_code, check_node, train
from sweeps._pack import FRACTIONS
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


def test_what_is_stored_needs_no_checkpoint_and_what_it_took_of_a_gpu_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = Folder.of(str(tmp_path / "checkpoints"), "e", "store")
    working = replace(job(), checkpoints=folder)
    configs = tuple(TrialConfig(seed=seed) for seed in range(4))
    first, second = (Cohort(configs[:2]), Cohort(configs[2:]))
    batch = []
    for cohort in (first, second):
        folder.write(cohort.id, [config.id for config in cohort.configs], 3, b"")
        records = [Record(config.id, {"peak_memory_bytes": 1e9}, {}) for config in cohort.configs]
        batch += outcomes(cohort, records, [], {"device": "NVIDIA L4"}, (0, 1))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    working.stored(batch[:1])  # its sibling is not safe yet, and might have to be trained again
    assert folder.read(first.id) == b""
    working.stored(batch[:2])
    assert (folder.read(first.id), folder.read(second.id)) == (None, b"")
    assert _peaks.read("L4").bytes_of(configs[2:]) == 10**9
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    working.stored(batch[2:])
    assert folder.read(second.id) is None
    assert "cannot be kept" in capsys.readouterr().err


def test_a_process_takes_no_more_than_its_share_of_a_gpu_with_its_context(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What a GPU would say is made up: there is none here."""
    caps: list[float] = []
    memory = SimpleNamespace(total_memory=24 * GIB)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda: memory)
    monkeypatch.setattr(torch.cuda, "set_per_process_memory_fraction", caps.append)
    for share in FRACTIONS[:-1]:
        cap_memory(share)
    assert [cap * 24 * GIB + GPU_CONTEXT_BYTES for cap in caps] == pytest.approx(
        [share * 24 * GIB for share in FRACTIONS[:-1]]
    )
