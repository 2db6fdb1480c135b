"""How the peers train one trial: plain ``torch.nn``, autograd and ``torch.optim``, one net at a time.

The peers take from the product what says *which* trial it is (data, corruption, initial weights, order of the
examples), so that their results can be held against the product's, and nothing that makes it fast. They differ
in how the data reach the net: see :class:`Feed`. An MLP only.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from memory_study import datasets, models
from memory_study.config import TrialConfig
from memory_study.corruption import corrupted_examples, random_inputs, random_labels
from memory_study.datasets import Splits
from memory_study.rng import stream

Metrics = dict[str, float]
Batches = Iterator[tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class TrialData:
    """A trial's examples as they enter the net: inputs [example, feature], labels [example]."""

    train: tuple[Tensor, Tensor]
    corrupted: Tensor
    validation: tuple[Tensor, Tensor]
    test: tuple[Tensor, Tensor]
    pixel: Tensor
    """What a pixel's range is once scaled, by feature: critical sample searches step in pixels."""


class Feed(Protocol):
    """One way from the data to the net."""

    def training_batches(self, config: TrialConfig, epoch: int) -> Batches:
        """The batches of one epoch, in the product's order."""

    def evaluation_batches(self, split: str) -> Batches:
        """The examples of ``train``, ``validation`` or ``test``, in the data set's order."""


@functools.cache
def load(config: TrialConfig, data_dir: str) -> Splits:
    """The data of ``config`` and of every trial of its plan, kept for the next one that this process trains."""
    return datasets.load(config, datasets.location(config.dataset, Path(data_dir)))


def trial_data(config: TrialConfig, splits: Splits) -> TrialData:
    """The examples of ``config``, corrupted and scaled."""
    channels = splits.train_inputs.shape[1]
    standardized = config.input_scaling == "standardized"
    mean = torch.tensor(splits.mean if standardized else [0.0] * channels).view(-1, 1, 1)
    std = torch.tensor(splits.std if standardized else [1.0] * channels).view(-1, 1, 1)
    inputs, labels = splits.train_inputs, splits.train_labels
    corrupted = corrupted_examples(len(labels), config.corruption_level, config.seed)
    if config.corruption == "randX":
        noise = random_inputs(inputs.shape, splits.mean, splits.std, config.seed)
        inputs = torch.where(corrupted[:, None, None, None], noise, inputs)
    if config.corruption == "randY":
        labels = torch.where(corrupted, random_labels(len(labels), len(splits.classes), config.seed), labels)

    def scaled(images: Tensor) -> Tensor:
        return ((images - mean) / std).flatten(1)

    return TrialData(
        (scaled(inputs), labels),
        corrupted,
        (scaled(splits.validation_inputs), splits.validation_labels),
        (scaled(splits.test_inputs), splits.test_labels),
        (1 / std).expand(inputs.shape[1:]).reshape(1, -1),
    )


class GaussianNoise(nn.Module):
    """Adds noise of standard deviation ``sd`` in training."""

    def __init__(self, sd: float) -> None:
        super().__init__()
        self._sd = sd

    def forward(self, inputs: Tensor) -> Tensor:
        """The inputs, with fresh noise in train mode."""
        return inputs + self._sd * torch.randn_like(inputs) if self.training else inputs


def build(config: TrialConfig, splits: Splits) -> nn.Sequential:
    """The MLP of ``config``, its regularizers as modules, with the product's initial weights."""
    strengths = dict(config.regularizers)
    image = splits.train_inputs.shape[1:]
    product = models.create(config, (image[0], image[1], image[2]), len(splits.classes))
    initial = product.initialize(stream(config.seed, "initial weights"))
    layers: list[nn.Module] = []

    def add(kind: str, make: Callable[[float], nn.Module]) -> None:
        if kind in strengths:
            layers.append(make(strengths[kind]))

    add("input_noise", GaussianNoise)
    add("input_dropout", nn.Dropout)
    for index in range(config.depth + 1):
        kernel, bias = initial[f"kernel{index}"], initial[f"bias{index}"]
        linear = nn.Linear(*kernel.shape)
        with torch.no_grad():
            linear.weight.copy_(kernel.T)
            linear.bias.copy_(bias[0])
        layers.append(linear)
        if index < config.depth:
            layers.append(nn.ReLU())
            add("hidden_noise", GaussianNoise)
            add("dropout", nn.Dropout)
    return nn.Sequential(*layers)


def sgd(config: TrialConfig, net: nn.Sequential, fused: bool) -> torch.optim.SGD:
    """SGD with weight decay on kernels only."""
    kernels = [p for p in net.parameters() if p.dim() == 2]
    biases = [p for p in net.parameters() if p.dim() == 1]
    decay = 2 * dict(config.regularizers).get("weight_decay", 0.0)
    groups: list[dict[str, Any]] = [{"params": kernels, "weight_decay": decay}, {"params": biases}]
    return torch.optim.SGD(
        groups, lr=config.learning_rate, momentum=config.momentum, fused=True if fused else None
    )


def search(config: TrialConfig, net: nn.Sequential, inputs: Tensor, pixel: Tensor) -> tuple[Tensor, Tensor]:
    """Langevin adversarial sample search around ``inputs``: where it ended, and which samples are critical."""
    net.eval()
    radius, step, noise = (
        pixel * (size / 255) for size in (config.csr_radius, config.csr_gradient_step, config.csr_noise_step)
    )
    found, predicted = inputs, None
    critical = torch.zeros(len(inputs), dtype=torch.bool)
    for _ in range(config.csr_iterations):
        found = found.detach().requires_grad_()
        logits = net(found)
        predicted = logits.argmax(1) if predicted is None else predicted
        critical |= logits.argmax(1) != predicted
        (gradient,) = torch.autograd.grad(F.cross_entropy(logits, predicted, reduction="sum"), found)
        with torch.no_grad():
            found = found + step * gradient.sign() + noise * torch.randn_like(found)
            found = torch.minimum(torch.maximum(found, inputs - radius), inputs + radius)
    with torch.no_grad():
        critical |= net(found).argmax(1) != predicted
    net.train()
    return found, critical


def train_epoch(
    config: TrialConfig, net: nn.Sequential, optimizer: torch.optim.SGD, batches: Batches, pixel: Tensor
) -> None:
    """One pass over the training set."""
    weight = dict(config.regularizers).get("adversarial", 0.0)
    net.train()
    for inputs, labels in batches:
        moved = search(config, net, inputs, pixel)[0] if weight else inputs
        masks = torch.get_rng_state() if weight else None
        loss = F.cross_entropy(net(inputs), labels)
        if masks is not None:
            torch.set_rng_state(masks)  # both terms of the loss see one net: the same units are dropped
            loss = (1 - weight) * loss + weight * F.cross_entropy(net(moved), labels)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()


@torch.no_grad()
def evaluate(net: nn.Sequential, feed: Feed, corrupted: Tensor) -> Metrics:
    """Loss and accuracy, in eval mode, over the training set, its two parts, and the validation set."""
    net.eval()
    found: Metrics = {}
    for split in ("train", "validation"):
        losses, right = _predictions(net, feed.evaluation_batches(split))
        masks: Mapping[str, Tensor | slice] = {"": slice(None)}
        if split == "train":
            masks = {**masks, "_clean": ~corrupted, "_corrupted": corrupted}
        for suffix, mask in masks.items():
            loss, accuracy = losses[mask].mean().item(), right[mask].mean(dtype=torch.float64).item()
            if not math.isnan(accuracy):  # no example is corrupted, or none is not
                found |= {f"{split}_loss{suffix}": loss, f"{split}_accuracy{suffix}": accuracy}
    return found


def _predictions(net: nn.Sequential, batches: Batches) -> tuple[Tensor, Tensor]:
    losses, right = [], []
    for inputs, labels in batches:
        logits = net(inputs)
        losses.append(F.cross_entropy(logits, labels, reduction="none"))
        right.append(logits.argmax(1) == labels)
    return torch.cat(losses), torch.cat(right)


def train(
    config: TrialConfig, splits: Splits, feed_of: Callable[[TrialData], Feed], fused: bool
) -> Iterator[Metrics]:
    """Train a trial; yields its measurements after every epoch, the last with the results of the whole training."""
    torch.manual_seed(config.seed)
    data = trial_data(config, splits)
    feed, net = feed_of(data), build(config, splits)
    optimizer = sgd(config, net, fused)
    best, best_epoch, converged = -1.0, 0, 0
    for epoch in range(1, config.epochs + 1):
        train_epoch(config, net, optimizer, feed.training_batches(config, epoch), data.pixel)
        metrics = evaluate(net, feed, data.corrupted)
        if metrics["validation_accuracy"] > best:
            best, best_epoch = metrics["validation_accuracy"], epoch
        converged = converged or (epoch if metrics["train_accuracy"] == 1.0 else 0)
        diverged = not math.isfinite(metrics["train_loss"])
        if epoch < config.epochs and not diverged:
            yield metrics
            continue
        metrics |= {"best_validation_accuracy": best, "best_validation_epoch": best_epoch}
        metrics |= {"converged": float(converged > 0), "convergence_epoch": converged or epoch}
        metrics |= {"diverged": float(diverged), "epochs_trained": epoch}
        with torch.no_grad():
            net.eval()
            metrics["test_accuracy"] = (
                _predictions(net, feed.evaluation_batches("test"))[1].double().mean().item()
            )
        if config.csr_examples and not diverged:
            for split, (inputs, _) in (("validation", data.validation), ("train", data.train)):
                critical = search(config, net, inputs[: config.csr_examples], data.pixel)[1]
                metrics[f"csr_{split}"] = critical.double().mean().item()
        yield metrics
        return
