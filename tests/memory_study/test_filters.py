from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from memory_study.config import ConfigError, TrialConfig
from memory_study.measures.filters import MOST, low_frequency_share

CNN = TrialConfig(
    model="cnn-zhang", train_size=40, width=6, batch_size=16, epochs=2, csr_examples=0, measures=("filters",)
)


def waves(periods_down, periods_across, channels=3, size=5):
    """One filter that is a plane wave in every channel."""
    steps = torch.arange(size, dtype=torch.float64)
    phase = periods_down * steps[:, None] + periods_across * steps
    return torch.cos(2 * math.pi * phase / size + 0.3).expand(1, channels, size, size)


@pytest.mark.parametrize(
    ("periods", "share"), [((0, 0), 1), ((1, 0), 1), ((1, 1), 1), ((2, 0), 0), ((1, 2), 0)]
)
def test_slow_waves_are_all_low_frequencies_and_fast_ones_none(periods, share):
    assert low_frequency_share(waves(*periods)).item() == pytest.approx(share, abs=1e-12)


def test_the_share_is_one_of_energy_over_all_channels():
    mixed = torch.cat([3 * waves(1, 0, channels=1), waves(2, 0, channels=1)], 1)
    assert low_frequency_share(mixed).item() == pytest.approx(9 / 10)


def test_independent_weights_have_nine_in_twenty_five_on_average():
    shares = low_frequency_share(torch.randn(4000, 3, 5, 5, generator=torch.Generator().manual_seed(0)))
    assert shares.mean().item() == pytest.approx(9 / 25, abs=4 * shares.std().item() / 4000**0.5)


def test_a_filter_of_nothing_counts_as_white_noise():
    assert low_frequency_share(torch.zeros(1, 3, 5, 5)).item() == pytest.approx(9 / 25)


def test_filters_come_with_their_initial_state_in_the_order_of_their_norms(train, splits):
    configs = [replace(CNN, seed=seed) for seed in (0, 1)]
    at_once, later = (train([replace(c, epochs=epochs) for c in configs], splits()) for epochs in (1, 2))
    for record in later:
        norms = torch.from_numpy(record.arrays["filters"]).flatten(1).norm(dim=1)
        assert (norms.diff() <= 0).all()
        assert record.arrays["filters"].shape == record.arrays["filters_initial"].shape == (6, 1, 5, 5)
        for name, end in (("filters", ""), ("filters_initial", "_initial")):
            share = low_frequency_share(torch.from_numpy(record.arrays[name])).mean().item()
            assert record.scalars[f"filter_low_frequency{end}"] == pytest.approx(share)
    for one, other in zip(at_once, later, strict=True):
        assert (one.arrays["filters"] != other.arrays["filters"]).any()
        first, second = (set(r.arrays["filters_initial"].ravel().tolist()) for r in (one, other))
        assert first == second


def test_no_more_filters_are_kept_than_anyone_looks_at_but_all_are_measured(train, splits):
    (record,) = train([replace(CNN, width=MOST + 6)], splits())
    assert record.arrays["filters"].shape[0] == MOST
    kept = low_frequency_share(torch.from_numpy(record.arrays["filters"])).mean().item()
    assert record.scalars["filter_low_frequency"] != pytest.approx(kept, abs=1e-9)


def test_a_net_that_diverged_has_no_filters_to_speak_of(train, splits):
    (record,) = train([replace(CNN, learning_rate=1e30)], splits())
    assert record.scalars["diverged"] == 1
    assert "filters" not in record.arrays
    assert "filter_low_frequency" not in record.scalars


def test_an_mlp_has_no_filters_and_the_config_says_so():
    with pytest.raises(
        ConfigError, match="filters looks at convolutions, and mlp has none; use --model cnn-keras"
    ):
        replace(CNN, model="mlp")
