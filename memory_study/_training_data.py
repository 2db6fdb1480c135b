"""The training set of a cohort on its device: one copy of the data, one noise bank per seed, corruption as a mask."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from memory_study.config import TrialConfig
from memory_study.corruption import corrupted_examples, random_inputs, random_labels
from memory_study.datasets import Splits
from memory_study.rng import stream


class Scaling:
    """How pixels in [0, 1] become what enters the net: ``(x - mean) / std`` per channel, or as they are."""

    def __init__(self, config: TrialConfig, splits: Splits) -> None:
        standardized = config.input_scaling == "standardized"
        channels = splits.train_inputs.shape[1]
        self.mean = torch.tensor(splits.mean if standardized else [0.0] * channels).view(-1, 1, 1)
        self.std = torch.tensor(splits.std if standardized else [1.0] * channels).view(-1, 1, 1)

    def __call__(self, images: Tensor) -> Tensor:
        """Scale ``images`` [example, channel, height, width]."""
        return (images - self.mean) / self.std

    def images(self, inputs: Tensor) -> Tensor:
        """Of scaled ``inputs`` [example, channel, height, width], the images: uint8, on the CPU, clipped to 0 to 255."""
        return ((inputs.cpu() * self.std + self.mean) * 255).round().clamp(0, 255).to(torch.uint8)


class TrainingData:
    """Inputs and labels as each replica of a stack is trained on them. All tensors are on ``device``.

    ``labels``, ``corrupted`` and ``true_labels``, those before any corruption, are [replica, example].
    """

    def __init__(
        self,
        configs: Sequence[TrialConfig],
        splits: Splits,
        scale: Scaling,
        device: torch.device,
        dtype: torch.dtype,
    ) -> None:
        self._configs = list(configs)
        self._device = device
        self._inputs = scale(splits.train_inputs).to(device, dtype)
        examples, classes = len(splits.train_labels), len(splits.classes)
        self.classes = classes
        self.true_labels = splits.train_labels.to(device).expand(len(configs), -1)
        self._banks = {
            seed: scale(random_inputs(splits.train_inputs.shape, splits.mean, splits.std, seed)).to(
                device, dtype
            )
            for seed in sorted({c.noise_seed for c in configs if c.corruption == "randX"})
        }
        masks = [corrupted_examples(examples, c.corruption_level, c.noise_seed) for c in configs]
        self.corrupted = torch.stack(masks).to(device)
        self.labels = torch.stack([
            torch.where(mask, random_labels(examples, classes, c.noise_seed), splits.train_labels)
            if c.corruption == "randY"
            else splits.train_labels
            for c, mask in zip(configs, masks, strict=True)
        ]).to(device)  # fmt: skip
        self._kept: Tensor | None = None

    def __len__(self) -> int:
        """Training examples of each replica."""
        return self.labels.shape[1]

    def only(self, kept: Tensor) -> None:
        """Go on as if each replica had only these examples of those that it has now: int64 [replica, example]."""
        self._kept = kept.to(self._device)
        self.corrupted, self.labels, self.true_labels = (
            each.gather(1, self._kept) for each in (self.corrupted, self.labels, self.true_labels)
        )

    def keep(self, rows: Sequence[int]) -> None:
        """Go on with only these replicas, in this order."""
        self._kept = self._kept if self._kept is None else self._kept[list(rows)]
        self.true_labels = self.true_labels[list(rows)]
        self._configs = [self._configs[row] for row in rows]
        self.corrupted, self.labels = self.corrupted[list(rows)], self.labels[list(rows)]

    def order(self, epoch: int) -> Tensor:
        """The order in which each replica sees its examples in ``epoch``: int64 [replica, example]."""
        by_seed = {
            seed: torch.randperm(len(self), generator=stream(seed, "batches", epoch))
            for seed in {config.seed for config in self._configs}
        }
        return torch.stack([by_seed[config.seed] for config in self._configs]).to(self._device)

    def batch(self, examples: Tensor) -> tuple[Tensor, Tensor]:
        """Inputs [replica, batch, channel, height, width], a fresh copy, and labels of ``examples`` [replica, batch]."""
        places = examples if self._kept is None else self._kept.gather(1, examples)
        return self._gathered(examples, places, range(len(self._configs))), self.labels.gather(1, examples)

    def _gathered(self, examples: Tensor, places: Tensor, rows: Sequence[int]) -> Tensor:
        """Inputs of some replicas' ``examples`` [row, batch], which have these places in the data set.

        Returns [row, batch, channel, height, width], a fresh copy.
        """
        inputs = self._inputs[places]
        for place, row in enumerate(rows):
            config = self._configs[row]
            if config.corruption == "randX":
                # A whole gather, because picking out the replaced examples would make a GPU wait for their number.
                noise = self._banks[config.noise_seed][places[place]]
                replaced = self.corrupted[row, examples[place], None, None, None]
                torch.where(replaced, noise, inputs[place], out=inputs[place])
        return inputs

    @property
    def false_labels(self) -> Tensor | None:
        """Which labels are not the true ones: bool [replica, example]; None where no replica has random labels."""
        if not any(config.corruption == "randY" for config in self._configs):
            return None
        return self.labels != self.true_labels

    @property
    def has_own_inputs(self) -> bool:
        """Whether any replica has inputs of its own: random ones, or only some of those of all."""
        return self._kept is not None or any(config.corruption == "randX" for config in self._configs)

    def parts(self, examples: slice, rows: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Inputs [row or 1, ...] and labels [row, ...] of neighbouring examples for some replicas, in the data set's order.

        One row of inputs serves all replicas where none in the stack has corrupted ones.
        """
        labels = self.labels[list(rows), examples]
        if self._kept is not None:
            neighbours = torch.arange(len(self), device=self._device)[examples].expand(len(rows), -1)
            return self._gathered(neighbours, self._kept[list(rows), examples], rows), labels
        inputs = self._inputs[examples].unsqueeze(0)
        if not self.has_own_inputs:
            return inputs, labels
        found = []
        for row in rows:
            config = self._configs[row]
            noisy = config.corruption == "randX"
            mask = self.corrupted[row, examples, None, None, None]
            found.append(
                torch.where(mask, self._banks[config.noise_seed][examples], inputs[0]) if noisy else inputs[0]
            )
        return torch.stack(found), labels
