"""What cohorts were seen to take on a GPU, and packing by it. There is no GPU here: what one would say is made up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memory_study.cohort import Cohort
from memory_study.config import TrialConfig
from memory_study.record import Record
from sweeps import _peaks
from sweeps._batch import Outcome, outcomes
from sweeps._cost import DEVICES, GIB, GPU_CONTEXT_BYTES
from sweeps._machine import cluster
from sweeps._options import Settings
from sweeps._pack import Facts, Machine, bytes_of, pack
from sweeps._peaks import Peak, Peaks, note, read
from sweeps._plan import Todo
from sweeps._report import dry_run

DIGITS = Facts((1, 8, 8), 10, 360, 360)
MIB = 2**20


@pytest.fixture(autouse=True)
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "memory-study" / "gpu_memory.jsonl"


def trials(count: int, **fields: object) -> tuple[TrialConfig, ...]:
    return tuple(TrialConfig(seed=seed, **fields) for seed in range(count))  # type: ignore[arg-type]


def ended(
    configs: Sequence[TrialConfig], measured: float, device: str = "NVIDIA L4", **scalars: float
) -> list[Outcome]:
    """What a GPU's worker submits of a cohort that took so many bytes."""
    records = [Record(c.id, {"peak_memory_bytes": measured, **scalars}, {}) for c in configs]
    return outcomes(Cohort(tuple(configs)), records, [], {"device": device}, (0, 1))


COUNTS = st.integers(1, 300)
BYTES = st.integers(0, 10**9)
SHAPES = st.builds(Peak, COUNTS, st.integers(0, 9), st.sampled_from([(), ("dropout",), ("dropout", "noise")]))


@given(st.lists(SHAPES, min_size=1, max_size=5), SHAPES, BYTES, BYTES, BYTES)
def test_whatever_a_replica_takes_a_bound_is_never_too_small(
    seen: list[Peak], asked: Peak, fixed: int, replica: int, bank: int
) -> None:
    def took(shape: Peak) -> int:
        kinds = 1 + len(shape.kinds)
        return fixed + kinds * shape.replicas * replica + shape.banks * bank

    for peak in seen:
        bound = replace(peak, bytes=took(peak)).bound(asked)
        if bound is None:
            assert set(asked.kinds) - set(peak.kinds) or asked.banks > peak.banks == 0
        else:
            assert bound * 1.000001 >= took(asked)


def test_what_was_measured_is_known_to_later_commands_on_such_a_gpu_and_to_no_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    note(ended(trials(8), 500 * MIB))
    note(ended(trials(4, width=64), 70 * MIB))
    assert read("L4").bytes_of(trials(8)) == 500 * MIB
    assert read("L4").bytes_of(trials(3)) == 500 * MIB, "at most"
    assert read("L4").bytes_of(trials(16)) == 1000 * MIB
    assert read("L4").bytes_of(trials(4, width=64)) == 70 * MIB
    assert read("L4").bytes_of(trials(4, width=32)) is None
    assert read("H100").bytes_of(trials(8)) is None
    monkeypatch.setattr(_peaks, "_code", lambda: "another version")
    assert read("L4").bytes_of(trials(8)) is None


def test_gpus_of_one_kind_with_more_or_less_memory_are_one_kind() -> None:
    note(ended(trials(8), 500 * MIB, device="NVIDIA A100-SXM4-80GB"))
    assert read("A100-40").bytes_of(trials(8)) == read("A100-80").bytes_of(trials(8)) == 500 * MIB


def test_of_cohorts_of_one_size_the_largest_counts_and_the_file_does_not_grow_with_trials(file: Path) -> None:
    for measured in (500, 400, 600, 600, 300):
        note(ended(trials(8), measured * MIB))
    assert read("L4").bytes_of(trials(8)) == 600 * MIB
    assert len(file.read_text().splitlines()) == 2


def test_cohorts_of_which_something_is_missing_say_nothing(file: Path) -> None:
    note(ended(trials(8), 500 * MIB)[1:])  # one of them had arrived before
    note(ended(trials(8), 500 * MIB, resumed_epoch=3.0))
    failed = replace(ended(trials(1), 500 * MIB)[0], record=None, error="out of memory")
    note([failed])
    assert not file.exists()


def test_regularizers_and_noise_banks_that_were_not_there_are_not_foretold() -> None:
    note(ended(trials(8), 500 * MIB))
    dropout = trials(8, regularizers=(("dropout", 0.5),))
    noise = trials(4, corruption="randX", corruption_level=1.0)
    assert read("L4").bytes_of(dropout) is None
    assert read("L4").bytes_of(noise) is None
    note(ended([*trials(4), *dropout[4:]], 600 * MIB))
    note(ended(noise, 200 * MIB))
    assert read("L4").bytes_of(dropout) == 600 * MIB
    assert read("L4").bytes_of(trials(8, corruption="randX", corruption_level=1.0)) == 400 * MIB


@pytest.mark.parametrize("line", ["", "{", "[]", '{"key": "x"}', '{"key": "x", "replicas": 1}'])
def test_a_line_that_was_cut_short_stops_nobody(file: Path, line: str) -> None:
    file.parent.mkdir()
    file.write_text(f"{line}\n")
    note(ended(trials(8), 500 * MIB))
    assert read("L4").bytes_of(trials(8)) == 500 * MIB


def packed(configs: Sequence[TrialConfig], peaks: Peaks) -> list[tuple[int, float, int]]:
    machine = Machine(DEVICES["L4"], 1, peaks=peaks)
    tasks = pack(configs, machine, lambda config: DIGITS)
    return [(len(task.cohort.configs), task.gpu, task.memory_bytes) for task in tasks]


def test_packing_prefers_what_was_measured_to_the_estimate() -> None:
    plan = trials(64)
    ((size, share, memory),) = {*packed(plan, Peaks())}
    assert (share, memory) == (1 / 8, bytes_of(plan[:size], DIGITS))
    note(ended(plan[:size], 8 * GIB))
    assert {*packed(plan, read("L4"))} == {(size, 1 / 2, 8 * GIB)}
    assert DEVICES["L4"].memory_bytes / 2 >= 8 * GIB + GPU_CONTEXT_BYTES


def test_cohorts_are_as_large_as_what_was_measured_allows() -> None:
    plan = trials(64)
    note(ended(plan[:8], 8 * GIB))
    room = DEVICES["L4"].memory_bytes - GPU_CONTEXT_BYTES
    most = int(8 * room / (8 * GIB))
    sizes = packed(plan, read("L4"))
    assert max(size for size, _, _ in sizes) <= most
    assert all(memory <= room for _, _, memory in sizes)
    assert sum(size for size, _, _ in sizes) == 64


def test_the_machine_brings_what_was_measured_and_a_dry_run_tells_of_it() -> None:
    plan = trials(64)
    machine = cluster(Settings(address="auto", gpu="L4"), 4, 1, [])
    tasks = pack(plan, machine, lambda config: DIGITS)
    todo = Todo(plan, 0, (), 0)
    (line,) = [x for x in dry_run(plan, todo, tasks, machine, None) if x.startswith("memory ")]
    assert "of 0 cohorts" in line
    note(ended(tasks[0].cohort.configs, GIB))
    machine = cluster(Settings(address="auto", gpu="L4"), 4, 1, [])
    (line,) = [x for x in dry_run(plan, todo, tasks, machine, None) if x.startswith("memory ")]
    assert f"of {len(tasks)} cohorts" in line
