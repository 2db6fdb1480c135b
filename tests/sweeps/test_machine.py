from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest

from sweeps import _machine
from sweeps._cost import CPU, DEVICES, GIB
from sweeps._flags import InputError
from sweeps._machine import cluster, gpus, this_machine
from sweeps._options import Settings


@pytest.fixture
def smi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine whose nvidia-smi prints the contents of a file."""
    command = tmp_path / "nvidia-smi"
    command.write_text(f"#!/bin/sh\ncat {tmp_path}/gpus\n")
    command.chmod(0o755)
    (tmp_path / "gpus").write_text("")
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    return tmp_path / "gpus"


def test_gpus_are_known_by_name_and_their_own_memory(smi: Path) -> None:
    smi.write_text("NVIDIA A100-SXM4-80GB, 81920\nTesla T4, 15360\nNVIDIA H200, 143771\nNVIDIA Foo, 24000\n")
    found = gpus()
    assert [device.name for device in found] == ["A100-80", "T4", "H200", "T4"]
    assert found[2].memory_bytes == pytest.approx(143771 * 2**20 - 0.5 * GIB)


def test_a_gpu_that_shares_its_machines_memory_has_that_of_its_kind(smi: Path) -> None:
    smi.write_text("NVIDIA L4, [N/A]\n")
    assert this_machine(Settings()).device == DEVICES["L4"]


def test_hidden_gpus_do_not_count(smi: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    smi.write_text("Tesla T4, 15360\nTesla T4, 15360\n")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    assert len(gpus()) == 1
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert gpus() == []


def test_a_machine_without_a_gpu_trains_on_its_cpus(smi: Path) -> None:
    assert (here := this_machine(Settings(cpus=3))).slots == 3
    assert here.device == replace(CPU, memory_bytes=here.device.memory_bytes)
    assert 0 < here.device.memory_bytes < math.inf


def test_cuda_without_a_gpu_is_an_error_with_a_way_out(smi: Path) -> None:
    with pytest.raises(InputError, match="use --device cpu"):
        this_machine(Settings(device="cuda"))


def test_a_plan_may_be_made_for_a_gpu_that_is_not_here(smi: Path) -> None:
    machine = this_machine(Settings(gpu="H200", dry_run=True))
    assert (machine.device, machine.slots) == (DEVICES["H200"], 1)
    assert not this_machine(Settings(gpu="H200", cpus=2)).device.is_gpu


def test_gpus_that_ray_is_told_of_are_shared_in_fractions(smi: Path) -> None:
    machine = this_machine(Settings(gpus=1, cpus=2))
    assert machine.device.is_gpu
    assert (machine.slots, machine.cpus_per_gpu) == (1, 2)


def test_a_cluster_is_what_ray_says_and_may_grow() -> None:
    assert cluster(Settings(address="auto"), 16, 0, []).slots == 16
    assert cluster(Settings(address="auto"), 2, 0, []).slots == _machine.CLUSTER_SLOTS
    machine = cluster(Settings(address="auto"), 64, 16, ["accelerator_type:H100"])
    assert (machine.device, machine.slots) == (DEVICES["H100"], 16)
    assert cluster(Settings(address="auto", device="cpu"), 64, 16, []).device == CPU
    assert cluster(Settings(address="auto", gpu="L4"), 4, 0, []).device == DEVICES["L4"]
