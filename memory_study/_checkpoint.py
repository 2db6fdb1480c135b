"""A cohort's training between two epochs, as bytes: all that another machine must know to go on.

Random numbers need no state, because every draw comes from a stream named by seed, purpose and epoch. So the nets, their
velocities, which examples are kept, and what was measured so far are enough: resumed training gives the records of an
undisturbed one, on a CPU bit for bit (seconds apart).
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import Tensor

from memory_study._fingerprint import fingerprint
from memory_study._history import History
from memory_study.cohort import Cohort
from memory_study.models import Stack

if TYPE_CHECKING:
    from memory_study.train import Training

DIGEST_BYTES = hashlib.sha256().digest_size


class Checkpoints(Protocol):
    """Where the state of a training is kept for as long as it lasts."""

    def states(self) -> Iterator[bytes]:
        """What was kept, by whichever process, the likeliest first."""

    def offer(self, epoch: int, state: Callable[[], bytes]) -> None:
        """Keep ``state()``, that of training after ``epoch``, if it is time to. Called after every epoch but the last."""


@dataclass(frozen=True)
class State:
    """What :func:`dump` kept: the trials of each row of ``tensors``, and a history for every trial of the cohort.

    ``kept``: the training examples that each trial of the cohort has, where it has not all.
    """

    epoch: int
    rows: tuple[str, ...]
    tensors: Mapping[str, Mapping[str, Tensor]]
    histories: Mapping[str, Mapping[str, Any]]
    kept: Mapping[str, Tensor]

    def history(self, history: History) -> None:
        """Give an empty history what was kept of its trial."""
        history.restore(self.histories[history.config.id])

    def nets(self, training: Training) -> None:
        """Give replicas their weights, velocities, buffers and hardest examples; all of them must be among ``rows``."""
        index = torch.tensor([self.rows.index(c.id) for c in training.configs], dtype=torch.long)
        for name, tensors in _tensors(training, velocity="velocity" in self.tensors).items():
            for key, tensor in tensors.items():
                tensor.copy_(self.tensors[name][key][index])


def dump(training: Training, epoch: int) -> bytes:
    """The state of ``training`` after ``epoch``: a digest, then plain values and tensors that torch loads safely."""
    tensors = _tensors(training, velocity=training.optimizer.velocity is not None)
    saved = {
        "version": _version(training.device),
        "epoch": epoch,
        "rows": [config.id for config in training.configs],
        "tensors": {
            name: {key: tensor.to("cpu", copy=True) for key, tensor in group.items()}
            for name, group in tensors.items()
        },
        "histories": {trial: history.state() for trial, history in training.histories.items()},
        "kept": dict(training.kept),
    }
    file = io.BytesIO()
    torch.save(saved, file)
    content = file.getbuffer()
    return hashlib.sha256(content).digest() + content


def load(data: bytes, cohort: Cohort, device: torch.device) -> State | None:
    """What ``data`` kept of ``cohort``, or None: it is cut short, another version's, or lacks one of the trials."""
    if hashlib.sha256(data[DIGEST_BYTES:]).digest() != data[:DIGEST_BYTES]:
        return None  # a machine that dies while it writes leaves a part
    saved = torch.load(io.BytesIO(data[DIGEST_BYTES:]), weights_only=True)
    if (
        saved["version"] != _version(device)
        or not {c.id for c in cohort.configs} <= saved["histories"].keys()
    ):
        return None
    return State(saved["epoch"], tuple(saved["rows"]), saved["tensors"], saved["histories"], saved["kept"])


def _version(device: torch.device) -> str:
    """What a training must share from its first epoch to its last."""
    return f"{fingerprint()} torch {torch.__version__} {device.type}"


def _tensors(training: Training, velocity: bool) -> dict[str, dict[str, Tensor]]:
    """The tensors that training changes, by row."""
    stacks = {"parameters": training.parameters, "buffers": training.buffers}
    if velocity:
        stacks["velocity"] = training.optimizer.moving()
    found = {name: _of(stack) for name, stack in stacks.items()}
    return {**found, "measuring": {"hardest": training.measuring.hardest}}


def _of(stack: Stack) -> dict[str, Tensor]:
    return {name: stack[name] for name in stack.names()}
