"""What there is to train on, found out without importing torch or starting Ray."""

from __future__ import annotations

import dataclasses
import os
import shutil
import subprocess

from sweeps import _peaks
from sweeps._cost import CPU, DEVICES, GIB, Device
from sweeps._flags import InputError
from sweeps._options import Settings
from sweeps._pack import Machine

SMALLEST_GPU = "T4"
"""What an unknown GPU is taken for: cohorts that fit this fit any."""

CLUSTER_SLOTS = 8
"""GPUs, or CPU cores, that a cluster is expected to grow to: work is cut at least fine enough for so many."""


def this_machine(settings: Settings) -> Machine:
    """CPUs and GPUs of this machine, as the flags limit them. Raises :class:`InputError` for a GPU that is
    missing.
    """
    cpus = settings.cpus or len(os.sched_getaffinity(0))
    found = [] if settings.device == "cpu" else gpus()
    count = len(found) if settings.gpus is None else settings.gpus
    planned = bool(settings.gpu) and settings.dry_run
    if settings.device == "cuda" and not (found or planned):
        raise InputError(
            [
                "--device cuda, or $MEMORY_STUDY_DEVICE, needs a GPU, and nvidia-smi lists none; use --device cpu"
            ]
        )
    if settings.device == "cpu" or not (count or planned):
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        return Machine(dataclasses.replace(CPU, memory_bytes=memory), cpus)
    device = DEVICES[settings.gpu] if settings.gpu else found[0] if found else DEVICES[SMALLEST_GPU]
    return Machine(device, count or 1, cpus / (count or 1), peaks=_peaks.read(device.name))


def cluster(settings: Settings, cpus: float, gpus: float, accelerators: list[str]) -> Machine:
    """A Ray cluster that has these resources now, and may grow."""
    if settings.device == "cpu" or not (gpus or settings.gpu or settings.device == "cuda"):
        return Machine(CPU, max(CLUSTER_SLOTS, int(cpus)))
    device = DEVICES[settings.gpu] if settings.gpu else _known(" ".join(accelerators), None)
    return Machine(device, max(CLUSTER_SLOTS, int(gpus)), peaks=_peaks.read(device.name))


def gpus() -> list[Device]:
    """The GPUs that nvidia-smi lists; none where it is missing or does not answer."""
    command = shutil.which("nvidia-smi")
    if command is None:
        return []
    query = [command, "--query-gpu=name,memory.total", "--format=csv,noheader,nounits"]
    try:
        listed = subprocess.run(query, capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return []
    rows = [line.rsplit(",", 1) for line in listed.stdout.splitlines() if "," in line]
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    rows = rows if visible is None else rows[: len([v for v in visible.split(",") if v.strip()])]
    return [_known(name, _bytes(mebibytes)) for name, mebibytes in rows]


def _bytes(mebibytes: str) -> float | None:
    """None where nvidia-smi has no such figure: a GPU that shares its machine's memory."""
    try:
        return float(mebibytes) * 2**20
    except ValueError:
        return None


def _known(name: str, memory: float | None) -> Device:
    """The device of the table whose name is in ``name``, with the memory it has; else the smallest one's
    speed.
    """
    matches = [d for d in DEVICES.values() if d.is_gpu and d.name.partition("-")[0] in name]
    if memory is not None and matches:
        matches.sort(key=lambda d: abs(d.memory_bytes - memory))
    device = matches[0] if matches else DEVICES[SMALLEST_GPU]
    return device if memory is None else dataclasses.replace(device, memory_bytes=memory - 0.5 * GIB)
