"""Images and filters as they are drawn, and as cells of a table that CSV can hold."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray


def to_text(images: NDArray[np.generic]) -> str:
    """Images [..., channel, height, width] as JSON: [...][row][column] of numbers, or of three of them (RGB).

    Channels that are neither one nor three are averaged: there is no colour to show them in. Fractions keep four digits.
    """
    pictures = np.moveaxis(images, -3, -1) if images.shape[-3] == 3 else images.mean(axis=-3)
    whole = np.issubdtype(images.dtype, np.integer)
    return json.dumps(pictures.round().astype(int).tolist() if whole else _rounded(pictures.tolist()))


def from_text(text: str) -> NDArray[np.float64]:
    """What :func:`to_text` wrote."""
    return np.array(json.loads(text), dtype=np.float64)


def _rounded(values: Any) -> Any:
    return [_rounded(each) for each in values] if isinstance(values, list) else float(f"{values:.4g}")


def show(axes: Axes, image: NDArray[np.float64]) -> None:
    """A picture [row, column] or [row, column, RGB] of values in [0, 1], every pixel a square, without an axis."""
    axes.imshow(image, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    axes.set_axis_off()
    axes.set(xticks=[], yticks=[])  # else their labels, though unseen, take part in the layout


def mosaic(filters: NDArray[np.float64], columns: int) -> NDArray[np.float64]:
    """Filters [filter, row, column] or [filter, row, column, RGB] side by side, row by row, white between them.

    Each is shown by itself, 0 as middle grey and its largest absolute weight as black or white.
    """
    largest = np.abs(filters).reshape(len(filters), -1).max(axis=1)
    largest = np.where(largest > 0, largest, 1).reshape(-1, *[1] * (filters.ndim - 1))
    tiles = 0.5 + filters / (2 * largest)
    rows, (height, width) = -(-len(tiles) // columns), tiles.shape[1:3]
    picture = np.ones((rows * (height + 1) - 1, columns * (width + 1) - 1, *tiles.shape[3:]))
    for place, tile in enumerate(tiles):
        top, left = (height + 1) * (place // columns), (width + 1) * (place % columns)
        picture[top : top + height, left : left + width] = tile
    edge = [(0, 0), (1, 1), *[(0, 0)] * (picture.ndim - 2)]  # what sets neighbouring mosaics apart
    return np.pad(picture, edge, constant_values=1.0)
