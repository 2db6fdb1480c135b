"""A trained replica as a file that plain torch opens, so that others can check it without this project.

The file is a dictionary of plain values and tensors, loaded with ``torch.load(path, weights_only=True)``; its
``layers`` name classes of ``torch.nn`` and their arguments, so a net is built from it in one line:
``net = torch.nn.Sequential(*[getattr(torch.nn, kind)(**arguments) for kind, arguments in saved["layers"]])``,
then ``net.load_state_dict(saved["state_dict"])`` and ``net.eval()``.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from memory_study.datasets import Splits
from memory_study.models._network import Layer

if TYPE_CHECKING:
    from memory_study.train import Training


def serialize(training: Training, row: int, splits: Splits) -> bytes:
    """The replica ``row`` of a stack as the bytes of a file; its net takes pixels in [0, 1], scaling included.

    Keys: ``layers``, ``state_dict``, ``classes`` (names by index), ``input_size`` (channels, height, width after the
    crop), ``mean`` and ``std`` (of the scaling, per channel), ``config`` (the trial's parameters as text), ``trial``.
    """
    one = slice(row, row + 1)
    layers, state = training.network.layers(training.parameters.rows(one), training.buffers.rows(one))
    scaling, scaling_state = _scaling_layer(training.scaling.mean, training.scaling.std)
    shifted = {_shift(name): tensor for name, tensor in state.items()}
    config = training.configs[row]
    saved = {
        "layers": [scaling, *layers],
        "state_dict": {name: t.detach().cpu().clone() for name, t in (scaling_state | shifted).items()},
        "classes": list(splits.classes),
        "input_size": list(splits.train_inputs.shape[1:]),
        "mean": training.scaling.mean.flatten().tolist(),
        "std": training.scaling.std.flatten().tolist(),
        "config": config.params(),
        "trial": config.id,
    }
    file = io.BytesIO()
    torch.save(saved, file)
    return file.getvalue()


def build(saved: dict[str, Any]) -> nn.Sequential:
    """The net of a loaded file, in eval mode; its inputs are pixels in [0, 1], [example, channel, height, width].

    Raises RuntimeError (torch's) where the tensors do not fit the layers.
    """
    net = nn.Sequential(*[getattr(nn, kind)(**arguments) for kind, arguments in saved["layers"]])
    net.load_state_dict(saved["state_dict"])
    return net.eval()


def _scaling_layer(mean: Tensor, std: Tensor) -> tuple[Layer, dict[str, Tensor]]:
    """(x - mean) / std per channel as the one class of torch.nn that does that: a frozen batch normalization."""
    arguments: dict[str, int | float | bool] = {"num_features": mean.numel(), "affine": False, "eps": 0.0}
    state = {"running_mean": mean.flatten(), "running_var": std.flatten() ** 2}
    state["num_batches_tracked"] = torch.tensor(0)
    return ("BatchNorm2d", arguments), {f"0.{name}": tensor for name, tensor in state.items()}


def _shift(name: str) -> str:
    """A state-dict name behind the scaling layer."""
    index, _, rest = name.partition(".")
    return f"{int(index) + 1}.{rest}"
