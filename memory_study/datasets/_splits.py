"""From published images to the tensors of a trial: who trains, who validates, in which size and unit."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from memory_study.datasets._source import Images

if TYPE_CHECKING:
    from torch import Tensor

    from memory_study.config import TrialConfig


@dataclass(frozen=True, slots=True)
class Splits:
    """A trial's data. Inputs are float32 [n, channels, height, width] in [0, 1], labels int64 [n]; all on the
    CPU.

    ``mean`` and ``std`` (population) have an entry per channel, over the training images as trained on. A
    ``std`` is never below one grey level, so that standardizing a constant channel divides by something.
    """

    train_inputs: Tensor
    train_labels: Tensor
    validation_inputs: Tensor
    validation_labels: Tensor
    test_inputs: Tensor
    test_labels: Tensor
    mean: tuple[float, ...]
    std: tuple[float, ...]
    classes: tuple[str, ...]


def split(images: Images, config: TrialConfig) -> Splits:
    """The splits of ``config``, which must have no problems on this data set (see ``DatasetInfo``).

    One permutation per ``split_seed`` orders the images: first those for validation, then a test set where
    the data set has none, then those for training, of which the first ``train_size`` are used. So training
    sets are nested, and neither validation nor test depends on their size. With ``validation="test"`` the
    held-out images stay unused: both kinds of validation train on the same images and can be compared. With
    ``labels="example"`` each training image is a class of its own, and validation and test sets are empty.
    """
    import torch

    from memory_study.rng import stream

    def inputs(chosen: Tensor) -> Tensor:
        return _inputs(chosen, images.white, config)

    info = images.info
    order = torch.randperm(len(images.train), generator=stream(config.split_seed, "split"))
    drawn = info.test_examples if images.test is None else 0
    held_out, drawn_test, rest = order.tensor_split((info.held_out, info.held_out + drawn))
    train = rest[: config.train_size]
    train_inputs = inputs(images.train[train])
    if images.test is None or images.test_labels is None:
        test = inputs(images.train[drawn_test]), images.train_labels[drawn_test]
    else:
        test = inputs(images.test), images.test_labels
    in_papers = config.validation == "test"
    validation = test if in_papers else (inputs(images.train[held_out]), images.train_labels[held_out])
    mean, std = _statistics(train_inputs, 1 / images.white)
    found = Splits(train_inputs, images.train_labels[train], *validation, *test, mean, std, info.classes)
    return _own_classes(found) if config.labels == "example" else found


def _own_classes(splits: Splits) -> Splits:
    """Each training example in a class of its own, named by its place; no other example is in any of them."""
    import torch

    count = len(splits.train_labels)
    return replace(
        splits, train_labels=torch.arange(count), classes=tuple(map(str, range(count))),
        validation_inputs=splits.validation_inputs[:0], validation_labels=splits.validation_labels[:0],
        test_inputs=splits.test_inputs[:0], test_labels=splits.test_labels[:0],
    )  # fmt: skip


def _inputs(images: Tensor, white: int, config: TrialConfig) -> Tensor:
    """uint8 [n, channels, height, width] to float32 in [0, 1], resized and then cropped; contiguous."""
    import torch

    size, crop = config.image_size, config.crop
    if size and images.shape[2:] != (size, size):
        images = _resized(images, size)
    if crop:
        top, left = (images.shape[2] - crop) // 2, (images.shape[3] - crop) // 2
        images = images[:, :, top : top + crop, left : left + crop]
    return images.to(torch.float32).div_(white).contiguous()


def _resized(images: Tensor, size: int) -> Tensor:
    """Averages of pixels where images shrink (MNIST to 14x14: of 2x2, as in the papers), else bilinear."""
    from torch.nn.functional import interpolate

    if size <= min(images.shape[2:]):
        return interpolate(images.float(), size=(size, size), mode="area")
    return interpolate(images.float(), size=(size, size), mode="bilinear", align_corners=False)


def _statistics(inputs: Tensor, least: float) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation per channel of [n, channels, height, width]."""
    from torch.linalg import vector_norm

    # Each image is summed in float32, which is fast; the sum over the images is in float64, where rounding
    # would add up.
    flat = inputs.flatten(2)
    mean = flat.mean(2).double().mean(0)
    square = vector_norm(flat, dim=2).double().square().mean(0) / flat.shape[2]
    std = (square - mean.square()).clamp(min=0).sqrt().clamp(min=least)
    return tuple(mean.tolist()), tuple(std.tolist())
