"""C12 and C13 on data whose answer is known."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest

from analysis.claims import c12, c13
from analysis.claims._finding import Judged, judge

Cell = tuple[float, float]  # real validation accuracy, random training accuracy


def trials_of(settings: dict[str, Cell], seeds: int, noise: float = 0.001, seed: int = 4) -> pd.DataFrame:
    """Trials of settings like ``dropout=0.5``, a little apart between seeds."""
    generator = np.random.default_rng(seed)
    rows = []
    for text, (real, random) in settings.items():
        kinds = " + ".join(part.partition("=")[0] for part in text.split(","))
        shared = {"dataset": "digits", "model": "mlp", "train_size": 1000, "diverged": 0.0}
        shared |= {"regularizers": text, "regularizer": kinds}
        for seed in range(seeds):
            clean, fitted = real + noise * generator.normal(), random + noise * generator.normal()
            labels = {"corruption": "none", "corruption_level": 0.0, "seed": seed}
            rows.append({**shared, **labels, "best_validation_accuracy": clean})
            labels = {"corruption": "randY", "corruption_level": 1.0, "seed": seed}
            rows.append({**shared, **labels, "train_accuracy": fitted})
    return pd.DataFrame(rows)


def judged_c12(trials: pd.DataFrame) -> Judged:
    (judged,) = judge(c12.findings(trials, pd.DataFrame()))
    return judged


CLEAR = {
    "none": (0.97, 0.95),
    "dropout=0.3": (0.98, 0.7),
    "dropout=0.6": (0.975, 0.4),
    "weight_decay=0.01": (0.90, 0.3),
    "hidden_noise=0.1": (0.99, 0.8),
    "input_noise=1.0": (0.96, 0.45),
}


PANEL = "digits · mlp · 1000 examples"


def losses_of(trials: pd.DataFrame) -> pd.Series:
    return c12.losses_by_regularizer(c12._settings.labelled(trials))["loss"][PANEL]


def test_the_loss_at_the_cap_is_that_of_the_best_setting_below_it() -> None:
    losses = losses_of(trials_of(CLEAR, seeds=5))
    assert losses["dropout"] == pytest.approx(-0.005, abs=0.002)
    assert losses["weight_decay"] == pytest.approx(0.07, abs=0.002)
    assert "hidden_noise" not in losses.index


def test_a_clear_advantage_of_dropout_supports_c12() -> None:
    judged = judged_c12(trials_of(CLEAR, seeds=5))
    assert (judged.verdict, judged.finding.panel, judged.finding.n) == ("supported here", PANEL, 5)
    assert judged.finding.effect == pytest.approx(7.5, abs=0.3)
    assert judged.finding.detail.startswith("dropout loses -0.")
    assert judged.finding.detail.endswith("not reaching the cap: hidden noise")


def test_c12_is_not_supported_where_another_regularizer_is_clearly_best() -> None:
    judged = judged_c12(trials_of(CLEAR | {"input_noise=1.0": (0.99, 0.4)}, seeds=5))
    assert (judged.verdict, judged.reason) == ("not supported here", "dropout is not among the best")


def test_c12_stays_open_where_dropout_cannot_be_told_from_the_best() -> None:
    near = CLEAR | {"input_noise=1.0": (0.977, 0.4)}
    judged = judged_c12(trials_of(near, seeds=4, noise=0.004, seed=0))
    assert judged.verdict == "not enough data"
    assert re.fullmatch(r"dropout cannot be told from the best: about \d+ more runs", judged.reason)


def test_regularizers_beyond_the_paper_are_listed_and_change_nothing_of_the_test() -> None:
    papers = trials_of(CLEAR, seeds=5)
    better = {"none": CLEAR["none"], "sam=0.5": (0.99, 0.4), "mixup=1.0": (0.97, 0.9)}
    more = trials_of(better, seeds=4)  # fewer seeds than the paper's kinds have
    both = pd.concat([papers, more[more["regularizers"] != "none"]], ignore_index=True)
    alone, beside = judged_c12(papers).finding, judged_c12(both).finding
    assert (beside.effect, beside.p, beside.n, beside.against) == (
        alone.effect,
        alone.p,
        alone.n,
        alone.against,
    )
    added = beside.detail.removeprefix(alone.detail)
    assert re.fullmatch(
        r"; beyond the paper: SAM loses -2\.\d points \[.*\]; not reaching the cap: mixup", added
    )
    assert losses_of(both)["sam"] == pytest.approx(-0.02, abs=0.002)


def test_c12_of_nothing_but_regularizers_beyond_the_paper_is_open() -> None:
    judged = judged_c12(trials_of({"none": (0.97, 0.95), "sam=0.5": (0.99, 0.4)}, seeds=3))
    assert judged.verdict == "not enough data"
    assert judged.finding.detail.startswith("beyond the paper: SAM loses -2.")


ALIKE = {"none": (0.97, 0.95)} | {f"{k}=1.0": (0.97, 0.4) for k in ("dropout", "weight_decay", "input_noise")}


def test_equal_regularizers_never_support_c12_and_many_seeds_refute_it() -> None:
    assert judged_c12(trials_of(ALIKE, seeds=5, noise=0.01)).verdict == "not enough data"
    judged = judged_c12(trials_of(ALIKE, seeds=40, noise=0.003))
    assert (judged.verdict, judged.reason) == ("not supported here", "surely below 0.5")


def test_c12_finds_a_range_among_equal_regularizers_about_as_rarely_as_it_says() -> None:
    generator, names = np.random.default_rng(0), ("dropout", "weight_decay", "input_noise")
    losses = generator.normal(size=(150, 3, 4))
    p = [c12._finding(c12.Capped("digits", names, each, ()), 24).p for each in losses]
    assert np.mean(np.array(p) < 0.05) < 0.09


@pytest.mark.parametrize(
    ("settings", "seeds", "says"),
    [
        (CLEAR, 2, "2 seeds, needs 3: about 12 more runs"),
        ({"none": (0.9, 0.9)}, 5, "0 regularizers at the 50% cap"),
        ({"dropout=0.5": (0.9, 0.4)}, 5, "0 regularizers at the 50% cap"),
    ],
)
def test_c12_needs_seeds_regularizers_and_the_control(
    settings: dict[str, Cell], seeds: int, says: str
) -> None:
    judged = judged_c12(trials_of(settings, seeds))
    assert judged.verdict == "not enough data"
    assert judged.reason.startswith(says)


def test_a_regularizer_with_many_equal_settings_gains_nothing_by_luck() -> None:
    many = {"none": (0.95, 0.95), "a=1.0": (0.95, 0.4)} | {f"b={k}": (0.95, 0.4) for k in range(1, 60)}
    losses = losses_of(trials_of(many, seeds=8, noise=0.02))
    assert losses["b"] > losses["a"] - 0.015


def test_a_missing_trial_removes_its_seed_and_not_the_claim() -> None:
    trials = trials_of(CLEAR, seeds=6)
    lost = trials["regularizers"].eq("none") & trials["corruption"].eq("none") & trials["seed"].eq(2)
    assert judged_c12(trials[~lost]).finding.n == 5


def speeds(offsets: np.ndarray, seeds: int, noise: float = 0.02, seed: int = 8) -> np.ndarray:
    """Speeds [setting, seed] around those of the settings."""
    return offsets[:, None] + noise * np.random.default_rng(seed).normal(size=(len(offsets), seeds))


def judged_c13(real: np.ndarray, random: np.ndarray) -> Judged:
    (judged,) = judge([c13._finding("digits", real, random, 2 * real.size)])
    return judged


def test_opposite_orders_support_c13_and_equal_ones_do_not() -> None:
    order = np.linspace(0, 1, 8)
    opposite = judged_c13(speeds(order, 5), speeds(-order, 5))
    assert opposite.verdict == "supported here"
    assert "8 settings: Kendall tau -1.00" in opposite.finding.detail
    assert judged_c13(speeds(order, 5), speeds(order, 5, noise=0.021)).verdict == "not supported here"


def test_c13_finds_different_orders_among_equal_ones_about_as_rarely_as_it_says() -> None:
    order, p = np.linspace(0, 1, 10), []
    for number in range(300):
        real, random = (speeds(order, 5, 0.2, seed) for seed in (number, 1000 + number))
        p.append(c13._finding("digits", real, random, 100).p)
    assert np.mean(np.array(p) < 0.05) < 0.09


@pytest.mark.parametrize(
    ("settings", "seeds", "says"),
    [(8, 3, "3 seeds, needs 5: about 32 more runs"), (4, 5, "4 settings with curves")],
)
def test_c13_needs_seeds_and_settings(settings: int, seeds: int, says: str) -> None:
    order = np.linspace(0, 1, settings)
    judged = judged_c13(speeds(order, seeds), speeds(-order, seeds))
    assert judged.verdict == "not enough data"
    assert judged.reason.startswith(says)


def test_agreement_between_equal_orders_is_one() -> None:
    order = np.tile(np.arange(6.0), (4, 1))
    within, between = c13.agreement(order, order, np.ones((1, 4)))
    assert within[0] == between[0] == 1.0


def test_a_resample_of_one_seed_alone_has_no_agreement() -> None:
    order = np.tile(np.arange(6.0), (3, 1))
    within, _ = c13.agreement(order, order, np.array([[3, 0, 0]]))
    assert np.isnan(within[0])


def test_speed_is_the_area_over_log_epoch() -> None:
    curves = pd.DataFrame([[0.0, 1.0, 1.0], [0.5, 0.5, 0.5]], columns=[1, 10, 100])
    np.testing.assert_allclose(c13.speeds(curves), [0.75, 0.5])


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
    wide = c13.accuracy_by_epoch(trials, curves)
    assert wide.loc["a"].tolist() == [0.0, 0.5, 1.0, 1.0]
    assert wide.loc["b"].tolist() == [0.0, 0.5, 0.75, 1.0]
