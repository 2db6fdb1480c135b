"""How much memory cohorts took on a GPU: measured there, kept on this machine, and preferred to the estimate.

The file ``gpu_memory.jsonl`` in ``$XDG_CACHE_HOME/memory-study`` (else ``~/.cache/memory-study``) has a line for each
size of cohort that was measured. What holds for one cohort bounds others: the bytes grow with replicas and noise banks, on
top of something fixed, so a smaller cohort takes no more, and one of twice the replicas at most twice as much.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from memory_study._fingerprint import fingerprint
from memory_study.config import TrialConfig
from memory_study.cost import SENSITIVITY, unrolled_first
from memory_study.record import Tag
from sweeps._batch import Outcome
from sweeps._cost import DEVICES, noise_banks


@dataclass(frozen=True, slots=True)
class Peak:
    """The most that torch reserved while a cohort trained from its first epoch, and what of the cohort decides on that."""

    replicas: int
    banks: int
    """Of noise, one for each seed of random inputs."""
    kinds: tuple[str, ...]
    """Of regularizers, and the score that unrolls first trainings, in order."""
    bytes: int = 0

    @classmethod
    def of(cls, configs: Sequence[TrialConfig], measured: int = 0) -> Peak:
        """That of a cohort."""
        kinds = {kind for config in configs for kind, _ in config.regularizers}
        kinds |= {SENSITIVITY} if unrolled_first(configs) else set()
        return cls(len(configs), noise_banks(configs), tuple(sorted(kinds)), measured)

    @property
    def shape(self) -> tuple[int, int, tuple[str, ...]]:
        """All but the bytes."""
        return self.replicas, self.banks, self.kinds

    def bound(self, other: Peak) -> float | None:
        """What a cohort like ``other`` takes at most; None where this one does not say."""
        if not set(self.kinds) >= set(other.kinds) or (other.banks and not self.banks):
            return None
        return self.bytes * max(1.0, other.replicas / self.replicas, other.banks / max(self.banks, 1))


@dataclass(frozen=True)
class Peaks:
    """What is known of one kind of GPU, by what a cohort shares: see :func:`_key`."""

    device: str = ""
    known: Mapping[str, tuple[Peak, ...]] = field(default_factory=dict)

    def bytes_of(self, configs: Sequence[TrialConfig]) -> int | None:
        """What a cohort takes at most; None where nothing was measured that says so."""
        cohort = Peak.of(configs)
        peaks = self._of(configs[0])
        same: list[float] = [peak.bytes for peak in peaks if peak.shape == cohort.shape]
        bounds = same or [bound for peak in peaks if (bound := peak.bound(cohort)) is not None]
        return int(min(bounds)) if bounds else None

    def most(self, configs: Sequence[TrialConfig], room: float) -> int | None:
        """How many of these trials take no more than ``room`` bytes, whichever they are; None where that is not known."""
        whole = Peak.of(configs)
        found = []
        for peak in self._of(configs[0]):
            least = peak.bound(Peak(1, whole.banks, whole.kinds))
            if least is not None and least <= room:
                found.append(int(peak.replicas * room / peak.bytes))
        return max(found, default=None)

    def _of(self, config: TrialConfig) -> tuple[Peak, ...]:
        return self.known.get(_key(self.device, config), ()) if self.known else ()


def read(device: str) -> Peaks:
    """All that was measured on GPUs like ``device``, a name of :data:`sweeps._cost.DEVICES`, of whatever code."""
    largest: dict[tuple[str, object], Peak] = {}
    file = _file()
    for line in file.read_text().splitlines() if file.exists() else ():
        try:
            values = json.loads(line)
            key = values.pop("key")
            peak = Peak(values["replicas"], values["banks"], tuple(values["kinds"]), values["bytes"])
        except (ValueError, KeyError, TypeError):  # a machine died while it wrote
            continue
        if (key, peak.shape) not in largest or largest[key, peak.shape].bytes < peak.bytes:
            largest[key, peak.shape] = peak
    known: dict[str, tuple[Peak, ...]] = {}
    for (key, _), peak in largest.items():
        known[key] = (*known.get(key, ()), peak)
    return Peaks(device, known)


def note(outcomes: Iterable[Outcome]) -> None:
    """Keep what these outcomes say of whole cohorts that trained on a GPU. Raises OSError where nothing can be written."""
    cohorts: dict[str, list[Outcome]] = {}
    for outcome in outcomes:
        if outcome.record is not None and "peak_memory_bytes" in outcome.record.scalars:
            cohorts.setdefault(outcome.tags[Tag.COHORT], []).append(outcome)
    for cohort in cohorts.values():
        _note_cohort(cohort)


def _note_cohort(outcomes: Sequence[Outcome]) -> None:
    """Unless some of it is missing: others' results came before, or it went on from a state that some had left by then."""
    scalars = [outcome.record.scalars for outcome in outcomes if outcome.record is not None]
    if len(outcomes) != int(outcomes[0].tags[Tag.COHORT_SIZE]) or any("resumed_epoch" in s for s in scalars):
        return
    configs = [outcome.config for outcome in outcomes]
    device = outcomes[0].tags[Tag.DEVICE]
    peak = Peak.of(configs, int(scalars[0]["peak_memory_bytes"]))
    known = read(device)._of(configs[0])
    if any(old.shape == peak.shape and old.bytes >= peak.bytes for old in known):
        return
    file = _file()
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("a") as lines:  # one short write, so that lines of two drivers do not mix
        lines.write(json.dumps({"key": _key(device, configs[0]), **asdict(peak)}) + "\n")


def _key(device: str, config: TrialConfig) -> str:
    """Of all that decides on memory besides a cohort's size: kind of GPU, code, torch, and the fields that trials share."""
    families = {known.name.partition("-")[0] for known in DEVICES.values() if known.is_gpu}
    family = max((name for name in families if name in device), key=len, default=device)
    return hashlib.sha256(f"{family}\n{_code()}\n{config.shared!r}".encode()).hexdigest()[:16]


@functools.cache
def _code() -> str:
    return f"{fingerprint()} torch {importlib.metadata.version('torch')}"


def _file() -> Path:
    named = os.environ.get("XDG_CACHE_HOME", "")
    caches = named if os.path.isabs(named) else os.path.expanduser("~/.cache")
    return Path(caches) / "memory-study" / "gpu_memory.jsonl"
