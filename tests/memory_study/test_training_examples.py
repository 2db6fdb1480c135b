from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from memory_study.config import TrialConfig
from memory_study.corruption import random_labels

BASE = TrialConfig(
    train_size=40, width=6, batch_size=16, epochs=1, csr_examples=0, measures=("training_examples",)
)
NOISE = {
    kind: replace(BASE, corruption=kind, corruption_level=1.0, corruption_seed=7)
    for kind in ("randX", "randY")
}


@pytest.mark.parametrize("scaling", ["unit", "standardized"])
def test_the_images_are_those_of_the_data_set_whatever_enters_the_net(train, splits, scaling):
    data = splits(channels=3)
    grey = (data.train_inputs * 255).round()
    data = replace(data, train_inputs=grey / 255)
    (record,) = train([replace(BASE, input_scaling=scaling, measured_examples=9)], data)
    assert record.arrays["train_images"].dtype == np.uint8
    assert np.array_equal(record.arrays["train_images"], grey[:9].numpy())
    assert np.array_equal(record.arrays["train_labels"], data.train_labels[:9].numpy())


def test_only_the_trial_with_seed_0_keeps_them_and_every_trial_what_it_has_right(train, splits):
    configs = [replace(config, seed=seed) for config in (BASE, *NOISE.values()) for seed in (0, 1, 2)]
    for config, record in zip(configs, train(configs, splits()), strict=True):
        assert record.arrays["train_right"].shape == (40,)
        assert ("train_images" in record.arrays) == ("train_labels" in record.arrays) == (config.seed == 0)


def test_noise_is_kept_as_trained_on(train, splits):
    data = splits()
    inputs, labels = train(list(NOISE.values()), data)
    assert not np.array_equal(inputs.arrays["train_images"], labels.arrays["train_images"])
    assert np.array_equal(inputs.arrays["train_labels"], data.train_labels.numpy())
    assert np.array_equal(labels.arrays["train_labels"], random_labels(40, 4, seed=7).numpy())


def test_one_noisy_data_set_is_the_same_in_any_stack(train, splits):
    together = train([replace(NOISE["randX"], seed=seed) for seed in (0, 1)] + [BASE], splits())[0]
    (alone,) = train([NOISE["randX"]], splits())
    assert np.array_equal(together.arrays["train_images"], alone.arrays["train_images"])
    assert torch.from_numpy(alone.arrays["train_images"]).float().std() > 0
