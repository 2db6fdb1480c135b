"""C10, C11 and C15 on curves with planted shapes: found, refuted, left open, and rarely found where there are none."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import planted
import pytest
from scipy import stats

from analysis import _claims_table, claims
from analysis._statistics import Estimate, order_by_resample
from analysis.claims import _trend, c10, c11, c15
from analysis.claims._finding import Finding, Judged, judge

Frames = tuple[pd.DataFrame, pd.DataFrame]
TRIALS = planted.cells(
    range(8)
)  # p < .05 takes 6 seeds that agree, and Holm's correction of several tests more


def found(claim: str, trials: pd.DataFrame, curves: pd.DataFrame) -> dict[str, Judged]:
    """The judged findings of a claim by part."""
    return {j.finding.part: j for j in judge(claims.find(claim).findings(trials, curves))}


def critical(by_level: float, shape: planted.Curve = planted.rise, noise: float = 0.001) -> Frames:
    """CSR that changes with the level, along a shape through training; its last value is a column as well."""
    curves = planted.curves_of(
        TRIALS,
        {"csr_validation": lambda row: lambda e: (0.05 + by_level * row["corruption_level"]) * shape(e)},
        noise,
    )
    last = curves.groupby("trial", observed=True)["value"].last()
    return TRIALS.assign(csr_validation=last.reindex(TRIALS.index).to_numpy()), curves


def test_csr_that_grows_with_the_noise_and_settles_supports_c10() -> None:
    for judged in found("C10", *critical(0.1)).values():
        assert judged.verdict == "supported here"
    assert (
        "of 24 noisy trials 24 rise, 24 settle, 24 do both; so do most trials in 8 of 8 seeds"
        in found("C10", *critical(0.1))["randX, through training"].finding.detail
    )


def test_csr_that_falls_with_the_noise_or_goes_on_rising_does_not_support_c10() -> None:
    falling = found("C10", *critical(-0.04))
    assert falling["randX"].reason == falling["randY"].reason == "surely the other way"
    late = found("C10", *critical(0.1, shape=lambda epochs: (epochs / 200) ** 2))
    assert late["randY, through training"].reason == "surely the other way"
    assert "24 rise, 0 settle" in late["randY, through training"].finding.detail


def test_the_trend_of_c10_is_that_of_jonckheere_and_terpstra(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the seeds, taken as units, are sure of it. Their statistic, its mean and its variance with ties, written out."""
    generator = np.random.default_rng(3)
    level = np.repeat([0, 1, 2, 3], [4, 5, 6, 5])
    values = np.round(level + 2 * generator.normal(size=20))
    groups = [values[level == k] for k in range(4)]
    pairs = [(a, b) for k, one in enumerate(groups) for other in groups[k + 1 :] for a in one for b in other]
    statistic = sum((a < b) + 0.5 * (a == b) for a, b in pairs)
    n, sizes, ties = 20, np.array([4, 5, 6, 5]), np.unique(values, return_counts=True)[1]

    def total(counts: np.ndarray) -> float:
        return float((counts * (counts - 1) * (2 * counts + 5)).sum())

    def third(counts: np.ndarray) -> float:
        return float((counts * (counts - 1) * (counts - 2)).sum())

    def second(counts: np.ndarray) -> float:
        return float((counts * (counts - 1)).sum())

    variance = (n * (n - 1) * (2 * n + 5) - total(sizes) - total(ties)) / 72
    variance += third(sizes) * third(ties) / (36 * n * (n - 1) * (n - 2))
    variance += second(sizes) * second(ties) / (8 * n * (n - 1))
    z = (statistic - (n**2 - (sizes**2).sum()) / 4) / variance**0.5
    rows = pd.DataFrame(
        {"level": level / 3.0, "seed": np.arange(20) % 5, "diverged": False, "csr_validation": values}
    )
    monkeypatch.setattr(_trend, "bootstrap_t", lambda effect, *_: Estimate(effect, effect, effect, 0.0))
    finding = _trend.trend(c10._TREND, rows, "csr_validation", "CSR", percent=True)
    assert finding.p == pytest.approx(2 * stats.norm.sf(abs(z)))
    assert finding.effect == pytest.approx((2 * statistic - len(pairs)) / len(pairs))


def test_the_order_of_resampled_seeds_is_that_of_the_trials_written_out() -> None:
    generator = np.random.default_rng(0)
    seeds = np.repeat([0, 1, 2], 4)
    level, csr = np.tile([0.0, 1, 2, 2], 3), np.round(generator.normal(size=12), 1)
    drawn = np.concatenate([np.flatnonzero(seeds == s) for s in (0, 2, 2)])
    signs = np.sign(level[drawn][:, None] - level[drawn]) * np.sign(csr[drawn][:, None] - csr[drawn])
    pairs = (level[drawn][:, None] != level[drawn]).sum()
    assert order_by_resample(level, csr, seeds, [[1, 0, 2]])[0] == pytest.approx(signs.sum() / pairs)


def test_a_curve_settles_where_it_is_flatter_in_the_last_third_of_log_epoch() -> None:
    epochs = np.array([1.0, 10, 100, 1000])
    assert c10.settles(epochs, np.array([0, 1, 2, 2.5]))
    assert not c10.settles(epochs, np.array([0, 1, 2, 3.5]))
    assert not c10.settles(epochs, np.array([1.0, 1, 1, 1]))
    # Half of the middle step belongs to either part: no measured epoch lies at the turn.
    assert c10.settles(np.array([1.0, 10, 1000]), np.array([0, 1.5, 2.5]))


def fitted_and_validated(
    half: float, top: float, level_of: Callable[[float], float] = lambda level: 1.0
) -> pd.DataFrame:
    return planted.curves_of(
        TRIALS,
        {
            "train_accuracy": lambda row: lambda e: level_of(row["corruption_level"]) * planted.rise(e, half),
            "validation_accuracy": lambda row: lambda e: 0.5 + 0.3 * planted.hump(e, top),
        },
        noise=0.001,
    )


def test_a_peak_before_training_accuracy_is_high_supports_c11_and_one_after_does_not() -> None:
    (early,) = found("C11", TRIALS, fitted_and_validated(half=5, top=8)).values()
    assert (early.verdict, early.finding.n, early.finding.effect) == ("supported here", 16, 0.5)
    assert _claims_table.cells(early)["n"] == "16 trials, 8 seeds"
    (late,) = found("C11", TRIALS, fitted_and_validated(half=0.5, top=80)).values()
    assert (late.verdict, late.reason) == ("not supported here", "surely the other way")


def test_a_trial_that_never_fits_counts_only_where_validation_was_seen_to_fall() -> None:
    never = np.full(5, 0.5)
    epochs = np.arange(1.0, 6)
    assert c11.order(epochs, never, epochs, np.array([0.1, 0.5, 0.9, 0.8, 0.7])) == 1
    assert c11.order(epochs, never, epochs, np.array([0.1, 0.5, 0.7, 0.9, 0.8])) == 0
    reached = np.array([0.1, 0.2, 0.9, 0.95, 1.0])
    for peak, order in ((1, 1), (2, 0), (3, -1)):
        assert c11.order(epochs, reached, epochs, np.eye(5)[peak]) == order


def test_ties_alone_decide_nothing() -> None:
    (judged,) = found("C11", TRIALS, fitted_and_validated(half=500, top=200)).values()
    assert (judged.verdict, judged.reason) == ("not enough data", "ties only: train longer")


def humped(shape: planted.Curve, noise: float = 0.01, seed: int = 0) -> pd.DataFrame:
    return planted.curves_of(TRIALS, {"csr_train": lambda row: lambda e: 0.1 * shape(e)}, noise, seed)


def test_a_hump_supports_c15_and_a_rise_or_a_fall_does_not() -> None:
    judged = found("C15", TRIALS, humped(planted.hump))
    assert [judged[part].verdict for part in ("randX", "randY")] == ["supported here"] * 2
    (real,) = found("C15", TRIALS.query("corruption == 'none' and seed < 5"), humped(planted.hump)).values()
    assert (real.finding.n, real.reason) == (5, "about 1 more run")  # 5 of 5 is p = .06
    # Over log(epoch): a line over epochs hardly falls at first, where noise then makes humps.
    for shape in (lambda e: np.log(e) / np.log(200), lambda e: 1 - np.log(e) / np.log(200)):
        judged = found("C15", TRIALS, humped(shape))
        assert {each.reason for each in judged.values()} == {"surely the other way"}


def test_where_a_trial_is_judged_is_chosen_by_the_others() -> None:
    csr = pd.DataFrame(
        {1: [0.0, 0.0, 0.0], 10: [9.0, 1.0, 1.0], 20: [1.0, 9.0, 0.5], 30: [2.0, 0.0, 0.0]}, list("abc")
    )
    assert c15.humps(csr).to_dict() == {"a": False, "b": True, "c": True}
    stopped = csr.assign(_=np.nan).rename(columns={"_": 40})  # an epoch at which nobody was measured
    assert c15.humps(stopped).to_dict() == c15.humps(csr).to_dict()


CURVES = {
    "C10": critical(0.1),
    "C11": (TRIALS, fitted_and_validated(5, 8)),
    "C15": (TRIALS, humped(planted.hump)),
}


@pytest.mark.parametrize("claim", CURVES)
def test_one_seed_is_not_enough_and_the_runs_for_three_are_named(claim: str) -> None:
    trials, curves = CURVES[claim]
    one = trials[trials["seed"] == 0]
    for judged in found(claim, one, curves).values():
        assert judged.verdict == "not enough data"
        assert judged.reason.startswith("1 seed, needs 3: about ")
        assert judged.more_runs


@pytest.mark.parametrize("claim", CURVES)
def test_a_diverged_trial_is_left_out_and_counted(claim: str) -> None:
    trials, curves = CURVES[claim]
    half = (trials["corruption"] == "randY") & (trials["corruption_level"] == 0.6) & (trials["seed"] == 2)
    part = "randY"
    before = found(claim, trials, curves)[part].finding
    after = found(claim, trials.assign(diverged=trials["diverged"].mask(half, 1.0)), curves)[part].finding
    assert after.n == before.n - (before.units == "trial")
    assert "1 diverged trial left out" in after.detail


@pytest.mark.parametrize("claim", CURVES)
def test_trials_without_the_curves_are_not_enough_data(claim: str) -> None:
    trials, _ = CURVES[claim]
    empty = planted.curves_of(pd.DataFrame(), {})
    for judged in found(claim, trials.drop(columns="csr_validation", errors="ignore"), empty).values():
        assert judged.verdict == "not enough data"
        assert judged.reason


def test_nothing_is_found_in_noise_more_often_than_the_tests_say() -> None:
    alarms: dict[str, list[bool]] = {"C10 through training": [], "C11": [], "C15": []}
    flat = {
        name: lambda row: lambda e: 0.1 + 0 * e
        for name in ("csr_validation", "csr_train", "validation_accuracy")
    }
    rows = TRIALS[TRIALS["corruption"] != "randX"].assign(diverged=False, panel="p")
    rows["level"] = rows["corruption_level"]
    fit = planted.curves_of(rows, {"train_accuracy": lambda row: lambda e: (e >= 20).astype(float)})
    for number in range(60):
        curves = planted.curves_of(rows, flat, noise=0.01, seed=number)
        for claim, finding in (
            ("C10 through training", c10._course("p", "randY", rows, curves)),
            ("C11", c11._finding("p", rows, pd.concat([curves, fit]))),
            ("C15", c15._finding("p", "randY", rows[rows["level"] > 0], curves)),
        ):
            alarms[claim].append(finding.p < 0.05 and finding.effect > 0)
    assert {claim: np.mean(found) for claim, found in alarms.items() if np.mean(found) >= 0.09} == {}


def agreeing(seeds_that_do: int, seeds: int = 12) -> dict[str, Finding]:
    """Findings of the sign tests where all trials of so many seeds do as the claims say, and none of the other seeds."""
    rows = planted.cells(range(seeds), kinds=("randY",)).assign(diverged=False, panel="p")
    rows["level"] = rows["corruption_level"]

    def either(does: planted.Curve, does_not: planted.Curve) -> Callable[[pd.Series], planted.Curve]:
        return lambda row: does if row["seed"] < seeds_that_do else does_not

    curves = planted.curves_of(
        rows,
        {
            "csr_validation": either(planted.rise, lambda e: 1 - planted.rise(e)),
            "csr_train": either(planted.hump, lambda e: 0.01 * planted.rise(e)),
            "train_accuracy": lambda row: lambda e: (e >= 20).astype(float),
            "validation_accuracy": either(lambda e: planted.hump(e, 5), lambda e: planted.hump(e, 80)),
        },
    )
    return {
        "C10 through training": c10._course("p", "randY", rows, curves),
        "C11": c11._finding("p", rows, curves),
        "C15": c15._finding("p", "randY", rows[rows["level"] > 0], curves),
    }


def test_seeds_whose_trials_all_agree_by_lot_are_found_no_more_often_than_the_tests_say() -> None:
    """Exactly: each number of seeds that do counts as often as a fair coin gives it."""
    alarms = {"C10 through training": 0.0, "C11": 0.0, "C15": 0.0}
    for number in range(13):
        for claim, finding in agreeing(number).items():
            assert finding.seeds == 12
            alarms[claim] += stats.binom.pmf(number, 12, 0.5) * (finding.p < 0.05)
    assert all(0 < alarm < 0.05 for alarm in alarms.values()), alarms


def test_a_trend_is_found_in_noise_about_as_rarely_as_its_test_says() -> None:
    generator = np.random.default_rng(0)
    rows = planted.cells(range(5), kinds=("randY",)).assign(diverged=False)
    rows["level"] = rows["corruption_level"]
    draws = generator.normal(size=(300, len(rows)))
    shared = draws + 2 * generator.normal(size=(300, 5))[:, rows["seed"]] * rows["level"].to_numpy()
    for values in (draws, shared):  # shared: what a seed's false labels do at all levels
        p = [
            _trend.trend(
                c10._TREND, rows.assign(csr_validation=drawn), "csr_validation", "CSR", percent=True
            ).p
            for drawn in values
        ]
        assert np.mean(np.array(p) < 0.05) < 0.09


def measured_twice(claim: str) -> Frames:
    """Each trial once more without critical samples, under an id that sorts before or after by turns."""
    trials, curves = CURVES[claim]
    csr = [name for name in trials.columns if name.startswith("csr_")]
    trials = trials.assign(csr_examples=1000, **{} if csr else {"csr_train": 0.1})
    without = trials.assign(csr_examples=0).drop(columns=[*csr, "csr_train"], errors="ignore")
    without.index = pd.Index(
        [("a" if place % 2 else "z") + trial for place, trial in enumerate(trials.index)]
    )
    return pd.concat([without, trials]), curves


@pytest.mark.parametrize("claim", ["C10", "C15"])
def test_of_a_trial_that_is_there_twice_the_one_with_critical_samples_counts(claim: str) -> None:
    once, twice = found(claim, *CURVES[claim]), found(claim, *measured_twice(claim))
    for part, judged in once.items():
        assert twice[part].finding.n == judged.finding.n
        assert twice[part].finding.seeds == judged.finding.seeds
        assert twice[part].finding.effect == pytest.approx(judged.finding.effect)
        assert twice[part].finding.p == pytest.approx(judged.finding.p)


def test_of_two_measurements_the_one_on_more_examples_counts() -> None:
    trials, curves = critical(0.1)
    few = trials.assign(csr_examples=100, csr_validation=0.5).rename(index=lambda trial: f"a{trial}")
    both = pd.concat([few, trials.assign(csr_examples=1000)])
    assert found("C10", both, curves)["randY"].finding.effect == pytest.approx(
        found("C10", trials, curves)["randY"].finding.effect
    )
