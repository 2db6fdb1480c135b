"""Data sets, one file each; a new file is found by its name. Listing and preparing them here needs no torch.

A file ``<name>.py`` holds ``DATASET``, which says what is in the data set, puts it in place, and reads it
(see :class:`Dataset`). Splits, resizing, cropping and scaling are the same for all of them.
"""

from __future__ import annotations

from memory_study.datasets._find import describe, load, location, names, prepare
from memory_study.datasets._source import DataError, Dataset, DatasetInfo, Images
from memory_study.datasets._splits import Splits

__all__ = [
    "DataError",
    "Dataset",
    "DatasetInfo",
    "Images",
    "Splits",
    "describe",
    "load",
    "location",
    "names",
    "prepare",
]
