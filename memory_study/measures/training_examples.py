"""Which training examples a net has right when its training ends.

Over many initialisations and orders of the examples, this is how hard each example is. Source: Arpit et al. 2017,
figure 1.
"""

from __future__ import annotations

from collections.abc import Sequence

from memory_study.measures._base import Measure
from memory_study.measures.accuracy import predict


class TrainingExamples(Measure):
    """Array ``train_right``: bool [example], of the first ``measured_examples`` of the training set, in eval mode.

    The trial with seed 0 keeps what these examples are, as trained on, too: ``train_images`` and ``train_labels``. A store
    needs them once for each kind of data, and where the corruption has a seed of its own they are those of all seeds.
    """

    def after_epoch(self, epoch: int, leaving: Sequence[int]) -> None:
        """Predict the examples as they were trained on, false labels and all."""
        if not leaving:
            return
        training = self.training
        examples = slice(0, min(training.shared.measured_examples, len(training.data)))
        inputs, labels = training.data.parts(examples, leaving)
        right = predict(training.network, *training.nets.keep(leaving), inputs, labels).right.cpu()
        inputs = inputs.expand(len(leaving), *inputs.shape[1:])
        for place, row in enumerate(leaving):
            config = training.configs[row]
            arrays = training.histories[config.id].arrays
            arrays["train_right"] = right[place].clone()
            if config.seed == 0:
                arrays["train_images"] = training.scaling.images(inputs[place])
                arrays["train_labels"] = labels[place].cpu().clone()


MEASURE = TrainingExamples
