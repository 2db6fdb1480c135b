"""How a data set is found by what the user wrote, prepared, and loaded for a trial."""

from __future__ import annotations

import functools
import importlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

from memory_study import _found
from memory_study.config import TrialConfig
from memory_study.datasets._source import DataError, Dataset, DatasetInfo

if TYPE_CHECKING:
    from memory_study.datasets._splits import Splits

_FOLDER = "folder"
_RELEVANT = (
    "dataset", "dataset_digest", "image_size", "crop", "train_size", "validation", "split_seed", "labels",
)  # fmt: skip
"""The fields of a config that decide what is loaded."""


def names() -> tuple[str, ...]:
    """Every data set that has a file here, in alphabetical order. ``folder:PATH`` is accepted besides."""
    return _found.names(__package__, _FOLDER)


def location(dataset: str, data_dir: Path) -> Path:
    """Where :func:`load` must look: the folder itself for ``folder:PATH``, else ``data_dir``. Absolute, ``~``
    expanded.

    Raises DataError, with the choices, for a data set that is not known.
    """
    kind, _, path = dataset.partition(":")
    find(dataset)
    return _absolute(Path(path) if kind == _FOLDER else data_dir)


def find(dataset: str) -> Dataset:
    """The data set of file ``<dataset>.py``. Raises DataError, with the choices, for one that has no file."""
    kind, _, path = dataset.partition(":")
    if not (kind == _FOLDER and path) and dataset not in names():
        raise DataError(
            f"data set {dataset!r} is not known; choose from {', '.join(names())}, or folder:PATH"
        )
    found: Dataset = importlib.import_module(f"{__package__}.{kind}").DATASET
    return found


def prepare(dataset: str, data_dir: Path, image_size: int = 0) -> DatasetInfo:
    """Download, verify or decode a data set, once: what is in place is only checked.

    ``dataset`` is as the user wrote it: ``mnist``, or ``folder:/some/path``, whose info is named
    ``folder:path``. Raises DataError where that cannot be done.
    """
    if image_size < 0:
        raise DataError(f"--image-size {image_size} is too small; use 0 (keep the size) or more")
    return find(dataset).prepare(location(dataset, data_dir), image_size)


def describe(dataset: str, data_dir: Path, image_size: int = 0) -> DatasetInfo:
    """What :func:`prepare` would say of a data set, without downloading it. Raises DataError likewise."""
    if image_size < 0:
        raise DataError(f"--image-size {image_size} is too small; use 0 (keep the size) or more")
    return find(dataset).describe(location(dataset, data_dir), image_size)


def load(config: TrialConfig, location: Path) -> Splits:
    """The data of a trial: see :class:`Splits`. Raises DataError where the data is absent, damaged or too
    small.

    A missing data set is prepared first, because a worker may run on another machine than the sweep. The last
    result is kept, since a worker trains many cohorts on the same data; do not write into its tensors.
    """
    location = _absolute(location)
    relevant = {name: getattr(config, name) for name in _RELEVANT}
    if config.dataset.startswith(f"{_FOLDER}:") and not config.dataset_digest:
        # Without a digest in it, the key below would keep images that have changed since.
        relevant["dataset_digest"] = find(config.dataset).prepare(location, config.image_size).digest
    return _load(TrialConfig(**relevant), location)


def _absolute(path: Path) -> Path:
    """Links are kept, so that a folder data set is called as its user calls it."""
    try:
        return Path(os.path.abspath(path.expanduser()))
    except RuntimeError as error:
        raise DataError(f"{path}: {error}; write the whole path") from error


@functools.lru_cache(maxsize=1)
def _load(config: TrialConfig, location: Path) -> Splits:
    from memory_study.datasets._splits import split

    images = find(config.dataset).read(location, config.image_size)
    problems = list(images.info.problems(config))
    if problems:
        raise DataError("; ".join(problems))
    return split(images, config)
