"""Measures taken on a stack of replicas, one file each. Accuracy and critical samples belong to every trial.

Any other file is a measure that a config may ask for by its name, and is found by it: it holds ``MEASURE``, a class
derived from :class:`Measure`.
"""

from __future__ import annotations

from memory_study.measures._base import Measure, find, names

__all__ = ["Measure", "find", "names"]
