"""The filters of a CNN's first convolution, and how smooth they are. Source: Arpit et al. 2017, figure 2.

A filter's *low-frequency share* is the share of its spectral energy, the squared absolute values of the two-dimensional
discrete Fourier transforms of its channels summed over channels, at the frequencies of at most one period per filter in
either direction, its mean (frequency 0) among them: 9 of the 25 frequencies of a 5x5 filter. Independent weights, as
drawn at the start, have 9/25 on average; edges and blobs of colour have more. The mean stays in, because a blob of one
colour is a structure. Filters count alike, whatever their norm: batch normalization takes the norm away.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from memory_study.measures._base import Measure
from memory_study.rng import stream

KERNEL = "conv0.kernel"
MOST = 64
"""Filters that are kept of each net, enough to look at."""


class Filters(Measure):
    """Scalars ``filter_low_frequency`` and ``filter_low_frequency_initial``, arrays ``filters`` and ``filters_initial``.

    Of every replica, when its training ends. The initial filters are drawn anew, so that there is nothing to remember.
    """

    def after_epoch(self, epoch: int, leaving: Sequence[int]) -> None:
        """Look at the replicas that leave."""
        training = self.training
        for row in leaving:
            config = training.configs[row]
            history = training.histories[config.id]
            trained = training.parameters[KERNEL][row].float().cpu()
            initial = training.network.initialize(stream(config.seed, "initial weights"))[KERNEL]
            by_norm = trained.flatten(1).norm(dim=1).argsort(descending=True, stable=True)[:MOST]
            for name, filters in (("", trained), ("_initial", initial)):
                history.arrays[f"filters{name}"] = filters[by_norm]
                history.scalars[f"filter_low_frequency{name}"] = float(low_frequency_share(filters).mean())


def low_frequency_share(filters: Tensor) -> Tensor:
    """Of each filter [filter, channel, height, width], in [0, 1]; of one that is 0 everywhere, that of white noise."""
    energy = torch.fft.fft2(filters.double()).abs().square().sum(1)
    periods = [torch.fft.fftfreq(size, d=1 / size).abs() for size in filters.shape[2:]]
    low = (periods[0][:, None] <= 1) & (periods[1] <= 1)
    white = low.double().mean()
    return torch.where(energy.sum((1, 2)) > 0, energy[:, low].sum(1) / energy.sum((1, 2)), white)


MEASURE = Filters
