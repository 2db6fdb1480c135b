"""A cohort: trials trained together as one stack of tensors in one process."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from memory_study.config import COHORT_FIELDS, TrialConfig


@dataclass(frozen=True, slots=True)
class Cohort:
    """Distinct trials that share every cohort field. Raises ValueError for any others, or for none at all."""

    configs: tuple[TrialConfig, ...]

    def __post_init__(self) -> None:
        if not self.configs:
            raise ValueError("a cohort needs at least one trial")
        if len({config.id for config in self.configs}) < len(self.configs):
            raise ValueError("a cohort holds each trial once")
        first = self.configs[0]
        apart = [n for n in COHORT_FIELDS if any(getattr(c, n) != getattr(first, n) for c in self.configs)]
        if apart:
            raise ValueError(f"trials of one cohort must agree on {', '.join(apart)}")

    @property
    def id(self) -> str:
        """Twelve hexadecimal digits, the same for the same trials in any order."""
        return hashlib.sha256(" ".join(sorted(c.id for c in self.configs)).encode()).hexdigest()[:12]

    def halves(self) -> tuple[Cohort, Cohort]:
        """Two cohorts of about equal size. Raises ValueError for a cohort of one."""
        middle = len(self.configs) // 2
        return Cohort(self.configs[:middle]), Cohort(self.configs[middle:])
