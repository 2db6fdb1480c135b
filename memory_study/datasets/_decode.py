"""Image files to one tensor of pixels."""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, UnidentifiedImageError

from memory_study.datasets._source import DataError

if TYPE_CHECKING:
    from torch import Tensor

Pixels = np.ndarray[tuple[int, ...], np.dtype[np.uint8]]
CHUNK = 256
"""Files that a thread takes at a time."""


def decode(root: Path, paths: Sequence[str], image_size: int) -> tuple[Tensor, str]:
    """Pixels uint8 [n, channels, height, width] of the files, in their order, and their content hash.

    The hash, 16 hexadecimal digits, is over relative paths and bytes: the same images give the same hash
    wherever they are and whatever ``image_size`` is. Images have one channel if all of them are grey, else
    three. ``image_size`` scales the shorter side to it and crops the centre; 0 demands images of one size.
    Raises DataError, naming the file, for an image that cannot be decoded.
    """
    import torch

    images: list[Pixels] = []
    sums: list[str] = []
    for image, file_sum in _decoded(root, paths, image_size):
        if images and image.shape[:2] != images[0].shape[:2]:
            raise DataError(_sizes_differ(root, (paths[0], images[0]), (paths[len(images)], image)))
        images.append(image)
        sums.append(file_sum)
    colour = any(image.ndim == 3 for image in images)
    pixels = torch.empty(len(images), 3 if colour else 1, *images[0].shape[:2], dtype=torch.uint8)
    for index, image in enumerate(images):
        # A grey image has no last axis; assigning it to three channels repeats it.
        pixels[index] = torch.from_numpy(image.transpose(2, 0, 1) if image.ndim == 3 else image)
    content = "".join(f"{path}\0{file_sum}\n" for path, file_sum in sorted(zip(paths, sums, strict=True)))
    return pixels, hashlib.sha256(os.fsencode(content)).hexdigest()[:16]


def _decoded(root: Path, paths: Sequence[str], image_size: int) -> Iterator[tuple[Pixels, str]]:
    """Each file's pixels and SHA-256, in order. Decoding frees the interpreter lock, so threads help."""

    def chunk(start: int) -> list[tuple[Pixels, str]]:
        return [_decode_file(root / path, image_size) for path in paths[start : start + CHUNK]]

    pool = ThreadPoolExecutor(os.cpu_count())
    try:
        for results in pool.map(chunk, range(0, len(paths), CHUNK)):
            yield from results
    finally:
        pool.shutdown(cancel_futures=True)


def _decode_file(path: Path, image_size: int) -> tuple[Pixels, str]:
    """Pixels [height, width] of a grey image, else [height, width, 3], and the SHA-256 of the file."""
    try:
        content = path.read_bytes()
        image: Image.Image = Image.open(io.BytesIO(content))
        if image.mode[0] in "IF":
            raise ValueError(f"its pixels have more than 8 bits: mode {image.mode}")
        image = image.convert("L" if image.mode in ("1", "L") else "RGB")
    except UnidentifiedImageError as error:
        raise DataError(f"{path} is not an image; mend or remove it") from error
    except (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError) as error:
        raise DataError(f"cannot decode {path} ({error}); mend or remove it") from error
    if image_size:
        image = _resize(image, image_size)
    return np.array(image), hashlib.sha256(content).hexdigest()


def _resize(image: Image.Image, size: int) -> Image.Image:
    """torchvision's Resize and CenterCrop, the usual preparation of image folders."""
    from torchvision.transforms import functional

    resized: Image.Image = functional.center_crop(functional.resize(image, [size]), [size, size])
    return resized


def _sizes_differ(root: Path, first: tuple[str, Pixels], other: tuple[str, Pixels]) -> str:
    (first_path, first_image), (other_path, other_image) = first, other
    found = [f"{image.shape[0]}x{image.shape[1]}" for image in (first_image, other_image)]
    least = min(first_image.shape[:2] + other_image.shape[:2])
    return (
        f"the images of {root} have different sizes ({found[0]} as {first_path}, {found[1]} as "
        f"{other_path}); use --image-size {least} to scale and crop them all"
    )
