"""Models, one file each: a network computes a whole stack of replicas, replica always axis 0."""

from __future__ import annotations

from memory_study.config import TrialConfig
from memory_study.models._network import Network, Stack
from memory_study.models.cnn import SmallAlexNet
from memory_study.models.mlp import MLP

__all__ = ["Network", "Stack", "create"]


def create(config: TrialConfig, image: tuple[int, int, int], classes: int) -> Network:
    """The network that ``config`` names, for inputs of shape ``image`` (channels, height, width).

    Raises ValueError, with the next step, for images too small for it.
    """
    if config.model == "mlp":
        return MLP(image, classes, width=config.width, depth=config.depth)
    return SmallAlexNet(image, classes, config)
