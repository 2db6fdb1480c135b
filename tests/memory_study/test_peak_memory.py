"""The memory that a cohort took on a GPU. There is none here: a made-up one answers in its place."""

from __future__ import annotations

import pytest
import torch

from memory_study.record import SCALARS
from memory_study.run import PeakMemory


class Gpu:
    """Torch's cache on a GPU: what was reserved once stays so until the cache is emptied."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.reserved = self.peak = 0
        monkeypatch.setattr(torch.cuda, "empty_cache", lambda: self.hold(0))
        monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", self.reset)
        monkeypatch.setattr(torch.cuda, "max_memory_reserved", lambda device: self.peak)

    def hold(self, reserved: int) -> None:
        self.reserved = reserved
        self.peak = max(self.peak, reserved)

    def reset(self, device: torch.device) -> None:
        self.peak = self.reserved


def test_a_cohorts_peak_is_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    gpu = Gpu(monkeypatch)
    for peak in (800, 300):  # a large cohort, then a small one in the same process
        measured = PeakMemory(torch.device("cuda"))
        gpu.hold(peak)
        gpu.hold(100)
        assert measured.scalars() == {"peak_memory_bytes": peak}
    assert measured.scalars().keys() <= SCALARS.keys()


def test_a_cpus_memory_is_not_measured() -> None:
    assert PeakMemory(torch.device("cpu")).scalars() == {}
