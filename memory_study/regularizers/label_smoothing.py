"""Label smoothing: targets (1 - s) one-hot + s / K over K classes. Source: Szegedy et al. 2016, section 7.

Beyond the papers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from memory_study.regularizers._base import Regularizer

if TYPE_CHECKING:
    from torch import Tensor


class LabelSmoothing(Regularizer):
    """Trains for a share s of every target spread evenly over all classes, the labelled one included."""

    grid = (0.1, 0.2, 0.3, 0.5, 0.7, 0.9)
    limit, open_limit = 1.0, True
    meaning = "share of each target that is spread evenly over all classes"

    def smoothing(self, strengths: Tensor) -> Tensor | None:
        """The strength itself."""
        return strengths


REGULARIZER = LabelSmoothing()
