"""The claims' tests, on data whose answer is known."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from analysis import _capped, _ordering

Cell = tuple[float, float]  # real validation accuracy, random training accuracy


def trials_of(settings: dict[str, Cell], seeds: int, noise: float = 0.001) -> pd.DataFrame:
    """Labelled trials of settings like ``dropout=0.5``, a little apart between seeds."""
    generator = np.random.default_rng(4)
    rows = []
    for text, (real, random) in settings.items():
        kinds = " + ".join(part.partition("=")[0] for part in text.split(","))
        shared = {"panel": "digits", "regularizers": text, "regularizer": kinds, "diverged": 0.0}
        for seed in range(seeds):
            clean, fitted = real + noise * generator.normal(), random + noise * generator.normal()
            rows.append({**shared, "labels": "real", "seed": seed, "best_validation_accuracy": clean})
            rows.append({**shared, "labels": "randY", "seed": seed, "train_accuracy": fitted})
    return pd.DataFrame(rows)


CLEAR = {
    "none": (0.97, 0.95),
    "dropout=0.3": (0.98, 0.7),
    "dropout=0.6": (0.975, 0.4),
    "weight_decay=0.01": (0.90, 0.3),
    "hidden_noise=0.1": (0.99, 0.8),
    "input_noise=1.0": (0.96, 0.45),
}


def test_the_loss_at_the_cap_is_that_of_the_best_setting_below_it() -> None:
    losses = _capped.losses_by_regularizer(trials_of(CLEAR, seeds=5))["loss"]
    assert losses["digits", "dropout"] == pytest.approx(-0.005, abs=0.002)
    assert losses["digits", "weight_decay"] == pytest.approx(0.07, abs=0.002)
    assert ("digits", "hidden_noise") not in losses.index


def test_a_clear_advantage_of_dropout_supports_c12() -> None:
    (line,) = _capped.verdicts(trials_of(CLEAR, seeds=5))
    assert line.startswith("C12 supported here: digits, 5 seeds: dropout loses -0.")
    assert line.endswith("not reaching the cap: hidden noise")


def test_c12_is_not_supported_where_another_regularizer_is_clearly_best() -> None:
    (line,) = _capped.verdicts(trials_of(CLEAR | {"input_noise=1.0": (0.99, 0.4)}, seeds=5))
    assert line.startswith("C12 not supported here (dropout is not among the best)")


def test_c12_is_not_supported_where_regularizers_are_alike() -> None:
    alike = {"none": (0.97, 0.95)} | {
        f"{k}=1.0": (0.97, 0.4) for k in ("dropout", "weight_decay", "input_noise")
    }
    (line,) = _capped.verdicts(trials_of(alike, seeds=5, noise=0.01))
    assert "cannot be told apart" in line


@pytest.mark.parametrize(
    ("settings", "seeds"), [(CLEAR, 2), ({"none": (0.9, 0.9)}, 5), ({"dropout=0.5": (0.9, 0.4)}, 5)]
)
def test_c12_needs_seeds_regularizers_and_the_control(settings: dict[str, Cell], seeds: int) -> None:
    (line,) = _capped.verdicts(trials_of(settings, seeds))
    assert line.startswith("C12 not enough data")


def test_a_regularizer_with_many_equal_settings_gains_nothing_by_luck() -> None:
    many = {"none": (0.95, 0.95), "a=1.0": (0.95, 0.4)} | {f"b={k}": (0.95, 0.4) for k in range(1, 60)}
    losses = _capped.losses_by_regularizer(trials_of(many, seeds=8, noise=0.02))["loss"]
    assert losses["digits", "b"] > losses["digits", "a"] - 0.015


def test_a_missing_trial_removes_its_seed_and_not_the_claim() -> None:
    trials = trials_of(CLEAR, seeds=6)
    lost = trials["regularizers"].eq("none") & trials["labels"].eq("real") & trials["seed"].eq(2)
    (line,) = _capped.verdicts(trials[~lost])
    assert "5 seeds" in line


def speeds(offsets: np.ndarray, seeds: int, noise: float = 0.02) -> np.ndarray:
    """Speeds [setting, seed] around those of the settings."""
    return offsets[:, None] + noise * np.random.default_rng(len(offsets)).normal(size=(len(offsets), seeds))


def test_opposite_orders_support_c13_and_equal_ones_do_not() -> None:
    order = np.linspace(0, 1, 8)
    assert "C13 supported here" in _ordering._verdict("digits", speeds(order, 5), speeds(-order, 5))
    same = _ordering._verdict("digits", speeds(order, 5), speeds(order, 5, noise=0.021))
    assert "C13 not supported here" in same


def test_agreement_between_equal_orders_is_one() -> None:
    order = np.tile(np.arange(6.0), (4, 1))
    within, between = _ordering.agreement(order, order, np.ones((1, 4)))
    assert within[0] == between[0] == 1.0


def test_a_resample_of_one_seed_alone_has_no_agreement() -> None:
    order = np.tile(np.arange(6.0), (3, 1))
    within, _ = _ordering.agreement(order, order, np.array([[3, 0, 0]]))
    assert np.isnan(within[0])


def test_speed_is_the_area_over_log_epoch() -> None:
    curves = pd.DataFrame([[0.0, 1.0, 1.0], [0.5, 0.5, 0.5]], columns=[1, 10, 100])
    np.testing.assert_allclose(_ordering.speeds(curves), [0.75, 0.5])


def test_a_trial_that_stopped_early_keeps_its_last_accuracy() -> None:
    trials = pd.DataFrame(
        {"panel": "p", "regularizers": ["none", "none"], "diverged": 0.0}, index=pd.Index(["a", "b"])
    )
    curves = pd.DataFrame(
        {
            "trial": list("aabbb"),
            "metric": "train_accuracy",
            "epoch": [1, 3, 1, 2, 4],
            "value": [0, 1, 0, 0.5, 1.0],
        }
    )
    wide = _ordering.accuracy_by_epoch(trials, curves)
    assert wide.loc["a"].tolist() == [0.0, 0.5, 1.0, 1.0]
    assert wide.loc["b"].tolist() == [0.0, 0.5, 0.75, 1.0]
