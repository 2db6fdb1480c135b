"""What a cohort's evaluations become: one :class:`Record` a trial."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from memory_study import regularizers
from memory_study.config import TrialConfig
from memory_study.record import Record, epoch_grid

if TYPE_CHECKING:
    from torch import Tensor

CONVERGED = {"": 1.0, "_999": 0.999}
"""Suffix of the convergence columns, and the training accuracy that each asks for."""


@dataclass(slots=True)
class History:
    """One trial's measurements, added as they are made.

    ``latest`` is what was measured after the epoch ``measured``, ``epochs`` how many are trained, ``waited`` how many
    validations were made since the best one. ``arrays`` are on the CPU. ``test_accuracy`` and ``model``, the net as a
    file if that is kept, are set when training is over.
    """

    config: TrialConfig
    grid: frozenset[int] = field(init=False)
    curves: dict[str, list[tuple[int, float]]] = field(default_factory=dict)
    scalars: dict[str, float] = field(default_factory=dict)
    arrays: dict[str, Tensor] = field(default_factory=dict)
    latest: Mapping[str, float] = field(default_factory=dict)
    measured: int = 0
    epochs: int = 0
    waited: int = 0
    test_accuracy: float = math.nan
    model: bytes | None = None

    def __post_init__(self) -> None:
        self.grid = frozenset(epoch_grid(self.config.epochs))

    def spend(self, epoch: int, seconds: Mapping[str, float]) -> None:
        """Note that ``epoch`` is over, and add its seconds to the scalars of these names."""
        self.epochs = epoch
        for name, value in seconds.items():
            self.scalars[name] = self.scalars.get(name, 0.0) + value

    def add(self, epoch: int, values: Mapping[str, float]) -> None:
        """Take in what was measured after ``epoch``; curves keep the grid's epochs, extremes look at all."""
        self.latest = {**(self.latest if epoch == self.measured else {}), **values}
        self.measured = epoch
        accuracy = values.get("validation_accuracy", math.nan)
        self.waited += math.isfinite(accuracy)
        if accuracy > self.scalars.get("best_validation_accuracy", -1.0):
            self.scalars["best_validation_accuracy"] = accuracy
            self.scalars["best_validation_epoch"] = epoch
            self.waited = 0
        for suffix, share in CONVERGED.items():
            if values.get("train_accuracy", 0.0) >= share:
                self.scalars.setdefault(f"convergence_epoch{suffix}", epoch)
        if epoch in self.grid:
            self.measure(epoch, values)

    def measure(self, epoch: int, values: Mapping[str, float]) -> None:
        """Add finite ``values`` to the curves at ``epoch``."""
        for name, value in values.items():
            curve = self.curves.setdefault(name, [])
            if math.isfinite(value) and not (curve and curve[-1][0] == epoch):
                curve.append((epoch, value))

    def reached(self, suffix: str) -> bool:
        """The training accuracy that :data:`CONVERGED` has for ``suffix`` was seen after some epoch."""
        return f"convergence_epoch{suffix}" in self.scalars

    @property
    def converged(self) -> bool:
        """Every training example was right after some epoch."""
        return self.reached("")

    @property
    def stopped(self) -> bool:
        """A regularizer ends the training here: see :meth:`Regularizer.patience`."""
        patiences = (
            regularizers.find(kind).patience(strength) for kind, strength in self.config.regularizers
        )
        return any(patience is not None and self.waited >= patience for patience in patiences)

    @property
    def diverged(self) -> bool:
        """The training loss is no longer finite."""
        return not math.isfinite(self.latest.get("train_loss", 0.0))

    def state(self) -> dict[str, Any]:
        """All of it but the config, as plain values; :meth:`restore` takes them back."""
        return {name: _plain(getattr(self, name)) for name in _CHANGING}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from what :meth:`state` gave."""
        for name in _CHANGING:
            setattr(self, name, _plain(state[name]))

    def record(self) -> Record:
        """The finished record. A diverged trial's last values are left out: there is no net to speak of any more."""
        scalars = dict(self.scalars)
        for suffix in CONVERGED:
            scalars[f"converged{suffix}"] = float(self.reached(suffix))
            scalars.setdefault(f"convergence_epoch{suffix}", self.epochs)
        scalars |= {"diverged": float(self.diverged), "epochs_trained": self.epochs}
        if not self.diverged:
            self.measure(self.epochs, self.latest)
            if self.config.labels == "data":  # a class of each example's own has none to test
                scalars["test_accuracy"] = self.test_accuracy
        curves = {name: tuple(curve) for name, curve in self.curves.items() if curve}
        arrays = {name: tensor.numpy() for name, tensor in self.arrays.items()}
        return Record(self.config.id, scalars, curves, self.model, arrays)


_CHANGING = (
    "curves",
    "scalars",
    "arrays",
    "latest",
    "measured",
    "epochs",
    "waited",
    "test_accuracy",
    "model",
)


def _plain(value: Any) -> Any:
    """A copy in which later additions do not show."""
    if isinstance(value, Mapping):
        return {key: _plain(inner) for key, inner in value.items()}
    return list(value) if isinstance(value, list) else value
