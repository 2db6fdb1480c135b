"""Critical samples and their ratio (CSR), found by Langevin adversarial sample search (LASS).

A sample is critical if another class is predicted within a small box around it. Source: Arpit et al. 2017, section
4.2 and algorithm 1, with the semantics of the authors' code: the cross-entropy towards the net's own first prediction
is ascended, a sample once critical stays critical, and pixels are not clipped to their range.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from memory_study.config import TrialConfig
from memory_study.models import Network, Stack


@dataclass(frozen=True, slots=True)
class Search:
    """A search's settings, in scaled-input units per channel: tensors [channel, 1, 1].

    Sign steps do not feel a positive scaling of the inputs, so searching in scaled units with scaled steps equals
    searching in pixels, where the paper states them (on the 0-255 scale).
    """

    iterations: int
    gradient_step: Tensor
    noise_step: Tensor
    radius: Tensor

    @classmethod
    def of(cls, config: TrialConfig, pixel: Tensor) -> Search:
        """The search that ``config`` describes, where a pixel's range is ``pixel`` [channel, 1, 1] scaled units."""
        step, noise, radius = config.csr_gradient_step, config.csr_noise_step, config.csr_radius
        return cls(config.csr_iterations, pixel * (step / 255), pixel * (noise / 255), pixel * (radius / 255))


def search(
    network: Network,
    parameters: Stack,
    buffers: Stack,
    inputs: Tensor,
    settings: Search,
    noise: Callable[[int], Tensor],
) -> tuple[Tensor, Tensor]:
    """Search around ``inputs`` [replica, example, channel, height, width] for another prediction.

    ``noise(iteration)`` gives standard normal draws that broadcast to ``inputs``. Returns where the search ended, shaped
    like ``inputs``, and which samples are critical: bool [replica, example].
    """
    low, high = inputs - settings.radius, inputs + settings.radius
    gradient, logits = network.input_gradient(parameters, buffers, inputs, None)
    predicted = logits.argmax(-1)
    critical = torch.zeros_like(predicted, dtype=torch.bool)
    found = inputs.clone()
    for iteration in range(settings.iterations):
        found.addcmul_(gradient.sign_(), settings.gradient_step)
        found.addcmul_(noise(iteration), settings.noise_step)
        found.clamp_(low, high)
        if iteration < settings.iterations - 1:
            gradient, logits = network.input_gradient(parameters, buffers, found, predicted)
        else:
            logits = network.logits(parameters, buffers, found)
        critical |= logits.argmax(-1) != predicted
    return found, critical


def wilson_interval(successes: float, trials: int, z: float = 1.959963984540054) -> tuple[float, float]:
    """Lower and upper end of the Wilson score interval of a share (95 % by default); (0, 1) for no trials.

    Source: Wilson 1927.
    """
    if trials == 0:
        return 0.0, 1.0
    share = successes / trials
    centre = (share + z * z / (2 * trials)) / (1 + z * z / trials)
    half = z / (1 + z * z / trials) * math.sqrt(share * (1 - share) / trials + z * z / (4 * trials * trials))
    # Rounding must not put the share itself outside its interval (0 of n, n of n).
    return max(0.0, min(centre - half, share)), min(1.0, max(centre + half, share))
