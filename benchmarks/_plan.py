"""Which trials are timed: those that a command line of the regularization sweep plans, or an even sample of them."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path

from memory_study.config import TrialConfig
from sweeps import regularization
from sweeps._flags import parse_arguments
from sweeps._options import resolve
from sweeps._plan import distinct

Plan = tuple[TrialConfig, ...]


def plan_of(arguments: Sequence[str]) -> Plan:
    """The trials that ``python -m sweeps.regularization ARGUMENTS`` trains. Raises ValueError for bad arguments."""
    sweep = regularization.SWEEP
    given, problems = parse_arguments(sweep.flags(), arguments, "benchmarks", sweep.header)
    if problems:
        raise ValueError("; ".join(problems))
    return distinct(sweep.plan(resolve(sweep, given)))


def sample(plan: Plan, size: int) -> Plan:
    """``size`` trials at even distances when the plan is sorted by regularizers, corruption and seed.

    So that each kind has its share in the sample, the costly ones included.
    """
    ordered = sorted(
        plan, key=lambda c: ([k for k, _ in c.regularizers], c.corruption, c.regularizers, c.seed)
    )
    return tuple(ordered[int((index + 0.5) * len(ordered) / size)] for index in range(size))


def write(plan: Plan, path: Path) -> None:
    """Write the trials to a file, for a peer to :func:`read`."""
    path.write_text(json.dumps([fields_of(config) for config in plan]))


def read(path: Path) -> Plan:
    """The trials in a file."""
    return tuple(trial(fields) for fields in json.loads(path.read_text()))


def fields_of(config: TrialConfig) -> dict[str, object]:
    """Every field by name."""
    return dataclasses.asdict(config)


def trial(fields: dict[str, object]) -> TrialConfig:
    """The trial with these fields, as JSON or :func:`fields_of` has them."""
    tuples = {name: tuple(value) for name, value in fields.items() if isinstance(value, list | tuple)}
    return TrialConfig(**{**fields, **tuples})  # type: ignore[arg-type]


def varying(config: TrialConfig) -> dict[str, object]:
    """What tells a trial from the others of its plan, as a search space has it."""
    fields = {name: getattr(config, name) for name in regularization.SWEEP.varies}
    level = config.corruption_level  # goes with the kind
    return {"id": config.id, **fields, "corruption_level": level, "regularizers": dict(config.regularizers)}
