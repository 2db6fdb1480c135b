"""Regularizers, one file each; a new file is found by its name. Listing and checking them needs no torch.

A file ``<kind>.py`` holds ``REGULARIZER``, an instance of a class derived from :class:`Regularizer` that says what the
kind does at the inputs, the activations, the loss and the update. Strength 0 is always the identity.
"""

from __future__ import annotations

from memory_study.regularizers._base import Draws, Regularizer, find, kinds, problems

__all__ = ["Draws", "Regularizer", "find", "kinds", "problems"]
