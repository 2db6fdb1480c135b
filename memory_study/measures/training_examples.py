"""Which training examples a net has right when its training ends.

Over many initialisations and orders of the examples, this is how hard each example is. Source: Arpit et al. 2017,
figure 1.
"""

from __future__ import annotations

from collections.abc import Sequence

from memory_study.measures._base import Measure
from memory_study.measures.accuracy import predict


class TrainingExamples(Measure):
    """Array ``train_right``: bool [example], of the first ``measured_examples`` of the training set, in eval mode."""

    def after_epoch(self, epoch: int, leaving: Sequence[int]) -> None:
        """Predict the examples as they were trained on, false labels and all."""
        if not leaving:
            return
        training = self.training
        examples = slice(0, min(training.shared.measured_examples, len(training.data)))
        nets = training.nets.keep(leaving)
        right = predict(training.network, *nets, *training.data.parts(examples, leaving)).right.cpu()
        for row, each in zip(leaving, right, strict=True):
            training.histories[training.configs[row].id].arrays["train_right"] = each.clone()


MEASURE = TrainingExamples
