"""Early stopping by the accuracy on clean validation data. Source: Prechelt 1998 (its criterion UP, on accuracy).

The strength is 1 / patience, so that 0 never stops. Patience counts validations: epochs, or those of the curves where
``validation_schedule`` says so. The net stays as it is when training stops: no better weights are restored, because
what is compared is what training has fitted by then. Beyond the papers.
"""

from __future__ import annotations

from memory_study.regularizers._base import Regularizer


class EarlyStopping(Regularizer):
    """Ends the training after so many validations in a row without a new best accuracy."""

    grid = (1 / 20, 1 / 10, 1 / 5, 1 / 2, 1.0)
    limit = 1.0
    meaning = "1 / patience, in validations without a new best accuracy; 1 / strength is rounded"

    def patience(self, strength: float) -> int | None:
        """The inverse, as a whole number."""
        return round(1 / strength)


REGULARIZER = EarlyStopping()
