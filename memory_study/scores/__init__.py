"""Scores of training examples, by which a trial may drop some of them: one file each, found by its name.

A file holds ``SCORE``, a class derived from :class:`Score`.
"""

from __future__ import annotations

from memory_study.scores._base import Score, find, names

__all__ = ["Score", "find", "names"]
