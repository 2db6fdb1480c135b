"""Which trials train together, and with which share of a device. A pure function of the plan and the machine.

Trials stack when they share every cohort field and the cost of a step. Neighbours in the order (kinds, seed)
also share work: random numbers are drawn once per seed of a cohort, and a search for adversarial inputs or a
second gradient is paid by all or none.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from memory_study.cohort import Cohort
from memory_study.config import TrialConfig
from memory_study.cost import ImageShape, graph_bytes, scoring_bytes
from sweeps._checkpoints import Kept
from sweeps._cost import (
    GIB,
    GPU_CONTEXT_BYTES,
    Device,
    cohort_seconds,
    fixed_bytes,
    replica_bytes,
    step_factor,
    trial_flops,
)
from sweeps._peaks import Peaks

FRACTIONS = (1 / 8, 1 / 4, 1 / 2, 1.0)
"""Shares of a GPU that a task may ask for. Few, because a Ray worker is only reused for equal requests."""

CACHE_BYTES = 8 * 2**20
"""Working set up to which a CPU stack gains from every further replica (measured, widths 64 to 128)."""

WIDE, MOST_BEYOND_CACHE = 1024, 8
"""Wider working sets still gain from sharing random draws and batches: at width 256 a stack of 8 takes a
fifth less time a trial than alone, at 512 a tenth less, and at 1024 nothing (measured)."""

MOST_ON_CPU, MOST_ON_GPU = 32, 256
LEAST_ON_CPU, LEAST_ON_GPU = 8, 32
"""Stacks smaller than this waste the gain, so work is not cut finer for the sake of balance."""

STILL_STACKS = 0.75
"""Share of the least stack that a cohort may shrink to where all slots then end together."""

MOST_CNNS_ON_GPU = 8
"""A CNN's replicas run one after the other: a larger cohort gains nothing and has more to lose."""

LONG_SECONDS = 3600.0
"""Cohorts estimated to take longer are halved while that costs no more than :data:`HALVING_COST` of their time: a
lost machine loses less, and the last cohort to end keeps nobody waiting for hours."""
HALVING_COST = 0.05

COHORTS_PER_SLOT = 4
"""Enough that the last cohort to end does not keep the others waiting for long."""


NOTHING_MEASURED = Peaks()


@dataclass(frozen=True, slots=True)
class Facts:
    """What packing must know of the data: shape of an image, classes, validation and test examples."""

    image: ImageShape
    classes: int
    validation: int
    test: int


@dataclass(frozen=True, slots=True)
class Machine:
    """Where tasks run: ``slots`` CPU cores, or GPUs with ``cpus_per_gpu``, of one ``device``.

    ``peaks`` is what cohorts were seen to take on such a GPU.
    """

    device: Device
    slots: int
    cpus_per_gpu: float = 4.0
    peaks: Peaks = NOTHING_MEASURED


@dataclass(frozen=True, slots=True)
class Task:
    """One cohort and what it asks of Ray. ``gpu`` is 0 on a CPU, else one of :data:`FRACTIONS`."""

    cohort: Cohort
    cpu: float
    gpu: float
    memory_bytes: int
    seconds: float
    kept: tuple[str, ...] = ()
    """Names of the checkpoints that other cohorts with these trials may have left."""
    epoch: int = 0
    """Epochs behind it, in a checkpoint, when this attempt at it was planned."""

    @property
    def checkpoints(self) -> tuple[str, ...]:
        """Names of those that may hold its cohort, the likeliest first."""
        return tuple(dict.fromkeys((self.cohort.id, *self.kept)))

    def rest(self, trials: Sequence[TrialConfig]) -> Task:
        """A task like this one for what is left of its trials."""
        return replace(self, cohort=Cohort(tuple(trials)), kept=self.checkpoints)

    def halves(self, trials: Sequence[TrialConfig]) -> list[Task]:
        """Tasks like this one for some of its trials, in two cohorts; one where there is one trial."""
        parts = Cohort(tuple(trials)).halves() if len(trials) > 1 else (Cohort(tuple(trials)),)
        kept = self.checkpoints
        return [replace(self, cohort=part, seconds=self.seconds / 2, kept=kept) for part in parts]


def pack(
    trials: Sequence[TrialConfig],
    machine: Machine,
    facts: Callable[[TrialConfig], Facts],
    most: int | None = None,
    kept: Iterable[Kept] = (),
) -> tuple[Task, ...]:
    """Every trial in exactly one task, the longest tasks first. ``most`` bounds the trials of a cohort.

    Trials of a cohort in ``kept`` go on together, if they fit. Raises ValueError, one line, for a trial that does not fit
    the device alone.
    """
    resumed, trials = _resumed(trials, machine, facts, most, kept)
    groups = _groups(trials)
    works = [sum(_work(config, facts(config)) for config in group) for group in groups]
    share = sum(works) / (machine.slots * COHORTS_PER_SLOT) or 1.0
    pieces: list[tuple[TrialConfig, ...]] = []
    for group, work in zip(groups, works, strict=True):
        largest = min(_largest(group, machine, facts(group[0])), most or len(group))
        least = min(LEAST_ON_GPU if machine.device.is_gpu else LEAST_ON_CPU, largest)
        wanted = max(1, min(math.ceil(work / share), len(group) // least))
        parts = max(wanted, math.ceil(len(group) / largest))
        evenly = (
            math.ceil(parts / machine.slots) * machine.slots
        )  # or some slots idle while the last ones train
        still_stack = len(group) >= max(1, STILL_STACKS * least) * evenly
        pieces += _split(group, evenly if still_stack else parts)
    pieces = [part for piece in pieces for part in _shortened(piece, machine, facts(piece[0]))]
    pieces = _fill(pieces, min(machine.slots, len(trials)))
    tasks = [_task(Cohort(piece), machine, facts(piece[0])) for piece in pieces]
    return tuple(sorted([*resumed, *tasks], key=lambda task: -task.seconds))


def bytes_of(configs: Sequence[TrialConfig], facts: Facts) -> int:
    """Memory that a cohort needs on its device, besides what any process takes there."""
    replicas = len(configs) * replica_bytes(configs[0], facts.image, facts.classes)
    once = (part(configs, facts.image, facts.classes) for part in (scoring_bytes, graph_bytes))
    return replicas + fixed_bytes(configs, facts.image, facts.validation + facts.test) + sum(once)


def _resumed(
    trials: Sequence[TrialConfig],
    machine: Machine,
    facts: Callable[[TrialConfig], Facts],
    most: int | None,
    kept: Iterable[Kept],
) -> tuple[list[Task], list[TrialConfig]]:
    """Tasks for the trials of each kept cohort, the furthest first, and the trials that are in none."""
    left = {trial.id: trial for trial in trials}
    tasks = []
    for cohort in sorted(kept, key=lambda k: -k.epoch):
        group = tuple(left[trial] for trial in sorted(cohort.trials) if trial in left)
        if not group or len(group) > (most or len(group)) or not _fits(group, machine, facts(group[0])):
            continue
        task = _task(Cohort(group), machine, facts(group[0]))
        ahead = 1 - min(cohort.epoch / group[0].epochs, 1.0)
        seconds = task.seconds * ahead
        tasks.append(replace(task, kept=(cohort.name,), seconds=seconds, epoch=cohort.epoch))
        for trial in group:
            del left[trial.id]
    return tasks, list(left.values())


def _fits(group: Sequence[TrialConfig], machine: Machine, facts: Facts) -> bool:
    return _memory(group, machine, facts) + _context_bytes(machine) <= machine.device.memory_bytes


def _memory(configs: Sequence[TrialConfig], machine: Machine, facts: Facts) -> int:
    """As measured, else as estimated."""
    measured = machine.peaks.bytes_of(configs)
    return bytes_of(configs, facts) if measured is None else measured


def _context_bytes(machine: Machine) -> int:
    return GPU_CONTEXT_BYTES if machine.device.is_gpu else 0


def _groups(trials: Iterable[TrialConfig]) -> list[list[TrialConfig]]:
    """Trials that may stack, in plan order, neighbours alike."""
    groups: dict[object, list[TrialConfig]] = {}
    for trial in trials:
        groups.setdefault((trial.shared, step_factor(trial)), []).append(trial)
    for group in groups.values():
        group.sort(key=lambda c: ([kind for kind, _ in c.regularizers], c.seed))
    return list(groups.values())


def _work(config: TrialConfig, facts: Facts) -> float:
    return trial_flops(config, facts.image, facts.classes, facts.validation)


def _largest(group: Sequence[TrialConfig], machine: Machine, facts: Facts) -> int:
    """How many replicas of a group make a cohort at most. Raises ValueError where not even one fits."""
    config = group[0]
    on_gpu = MOST_ON_GPU if config.model == "mlp" else MOST_CNNS_ON_GPU
    if measured := machine.peaks.most(group, machine.device.memory_bytes - _context_bytes(machine)):
        return min(on_gpu, measured)
    replica = replica_bytes(config, facts.image, facts.classes)
    gpu = machine.device.is_gpu
    # What a whole group holds once is shared by its cohort on a GPU; on a CPU the question is whether one trial fits.
    alone = max(bytes_of([config], facts) for config in group)
    fixed = (bytes_of(group, facts) - len(group) * replica) if gpu else alone - replica
    room = machine.device.memory_bytes - _context_bytes(machine) - fixed
    if room < replica:
        need = (machine.device.memory_bytes - room + replica) / GIB
        raise ValueError(
            f"one trial of {config.model} at width {config.width} needs about {need:.1f} GiB, and a "
            f"{machine.device.name if gpu else 'machine like this'} has {machine.device.memory_bytes / GIB:.0f}; "
            "use a smaller --width or --batch-size, or a larger machine"
        )
    if not gpu:
        # One replica at a time in channels_last is the fastest way through convolutions on a CPU (measured).
        if config.model != "mlp" or config.width >= WIDE:
            return 1
        most = max(MOST_BEYOND_CACHE, min(MOST_ON_CPU, CACHE_BYTES // replica))
        return int(min(most, max(1.0, room / (machine.slots * replica))))  # of all slots the memory is one
    return int(min(on_gpu, room // replica))


def _split(group: Sequence[TrialConfig], parts: int) -> list[tuple[TrialConfig, ...]]:
    """``parts`` runs of neighbours whose sizes differ by at most one."""
    bounds = [len(group) * part // parts for part in range(parts + 1)]
    return [tuple(group[a:b]) for a, b in itertools.pairwise(bounds)]


def _shortened(
    piece: tuple[TrialConfig, ...], machine: Machine, facts: Facts
) -> list[tuple[TrialConfig, ...]]:
    """The trials of a cohort that takes long, in as many as it may be cut into without taking longer in all."""
    whole = _seconds(piece, machine, facts)
    if whole <= LONG_SECONDS or len(piece) < 2:
        return [piece]
    halves = _split(piece, 2)
    if sum(_seconds(half, machine, facts) for half in halves) > (1 + HALVING_COST) * whole:
        return [piece]
    return [part for half in halves for part in _shortened(half, machine, facts)]


def _seconds(configs: Sequence[TrialConfig], machine: Machine, facts: Facts) -> float:
    return cohort_seconds(configs, facts.image, facts.classes, facts.validation, machine.device)


def _fill(pieces: list[tuple[TrialConfig, ...]], slots: int) -> list[tuple[TrialConfig, ...]]:
    """Halve the largest pieces until no slot stays idle."""
    while len(pieces) < slots:
        largest = max(range(len(pieces)), key=lambda index: len(pieces[index]))
        pieces[largest : largest + 1] = _split(pieces[largest], 2)
    return pieces


def _task(cohort: Cohort, machine: Machine, facts: Facts) -> Task:
    memory = _memory(cohort.configs, machine, facts)
    seconds = _seconds(cohort.configs, machine, facts)
    if not machine.device.is_gpu:
        return Task(cohort, 1.0, 0.0, memory, seconds)
    fits = (f for f in FRACTIONS if memory + GPU_CONTEXT_BYTES <= f * machine.device.memory_bytes)
    fraction = next(fits, 1.0)  # what was measured where a GPU of this kind has more memory may not fit here
    # Rounded down, so that 1 / fraction tasks fit beside each other where CPUs are few.
    cpu = max(0.01, math.floor(100 * min(1.0, fraction * machine.cpus_per_gpu)) / 100)
    return Task(cohort, cpu, fraction, memory, seconds)
