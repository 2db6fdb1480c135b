"""C1 and C2 on planted data: found, refuted, left open, and rarely found where there is nothing."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import planted
import pytest
from scipy import stats

from analysis import _examples, claims
from analysis._examples import Answers
from analysis._statistics import jackknife_t, t_test
from analysis.claims import c1
from analysis.claims._finding import Judged, judge

SEEDS, EXAMPLES = 100, 400
ALIKE = (1e6, 8e6)


def answers(
    hardness: dict[str, tuple[float, float]], seeds: int = SEEDS, examples: int = EXAMPLES, draw: int = 0
) -> pd.DataFrame:
    """Trials on each kind of data, whose examples are right with beta-distributed probabilities of these a and b."""
    generator = np.random.default_rng(draw)
    rows = []
    for kind, (a, b) in hardness.items():
        right = generator.beta(a, b, examples)
        rows += [
            {
                **planted.SHARED, "seed": seed, "corruption": kind, "corruption_level": float(kind != "none"),
                "corruption_seed": -1 if kind == "none" else 7, "train_size": 1000,
                "train_right": generator.random(examples) < right,
            }
            for seed in range(seeds)
        ]  # fmt: skip
    return planted.named(pd.DataFrame(rows))


def found(claim: str, trials: pd.DataFrame) -> dict[str, Judged]:
    """The judged findings of a claim by part."""
    return {
        j.finding.part: j for j in judge(claims.find(claim).findings(trials, planted.curves_of(trials, {})))
    }


def test_the_papers_picture_supports_all_parts_of_c1() -> None:
    judged = found("C1", answers({"none": (0.9, 0.1), "randX": ALIKE, "randY": (4.0, 36.0)}))
    assert {each.verdict for each in judged.values()} == {"supported here"}
    assert re.search(r"random inputs: wrong in 8\d.\d %, D = 1.0", judged["real above randY"].finding.detail)


def test_real_data_no_harder_in_places_than_noise_do_not_support_c1() -> None:
    judged = found("C1", answers({"none": ALIKE, "randX": (4.0, 36.0), "randY": (4.0, 36.0)}))
    assert judged["real above randY"].reason == "surely the other way"
    assert judged["randX about binomial"].reason == "surely the other way"
    assert judged["randY above randX"].verdict == "not enough data"


def test_few_nets_or_a_kind_of_data_without_any_leave_c1_open() -> None:
    judged = found("C1", answers({"none": (0.9, 0.1), "randX": ALIKE}, seeds=19))
    assert judged["real above randY"].reason == "no trials on randY"
    assert judged["randX about binomial"].reason == "19 seeds, needs 20: about 2 more runs"


def test_nets_that_agree_on_everything_leave_c1_open() -> None:
    trials = answers({"none": (0.9, 0.1), "randX": ALIKE, "randY": ALIKE}, seeds=20)
    trials["train_right"] = [np.ones(EXAMPLES, dtype=bool)] * len(trials)
    assert all("D is not defined" in judged.reason for judged in found("C1", trials).values())


def test_nets_with_noise_of_their_own_share_no_examples() -> None:
    trials = answers({"none": (0.9, 0.1), "randX": ALIKE, "randY": ALIKE}).assign(corruption_seed=-1)
    assert found("C1", trials)["randX about binomial"].reason.startswith("1 seed, needs 20")


def test_nets_with_another_number_of_measured_examples_are_a_panel_of_their_own() -> None:
    many, few = (answers({"none": ALIKE}, seeds, count) for seeds, count in ((20, EXAMPLES), (3, 50)))
    trials = pd.concat([many.assign(measured_examples=EXAMPLES), few.assign(measured_examples=50)])
    shapes = {panel: kinds["none"].wrong.shape for panel, kinds in _examples.by_panel(planted.named(trials))}
    assert shapes == {
        "digits · mlp · 1000 examples · 50 measured examples": (3, 50),
        "digits · mlp · 1000 examples · 400 measured examples": (20, 400),
    }


def test_asking_for_more_examples_than_there_are_makes_no_panel() -> None:
    trials = answers({"none": ALIKE}, 4).assign(train_size=EXAMPLES, measured_examples=[400, 400, 500, 600])
    assert [kinds["none"].wrong.shape for _, kinds in _examples.by_panel(trials)] == [(4, EXAMPLES)]


@pytest.mark.parametrize("first", [0, 1])
def test_of_a_seeds_trials_the_one_that_kept_its_answers_counts(first: int) -> None:
    kept = answers({"none": ALIKE}, 3)
    without = kept.assign(train_right=np.nan, measured_examples=7)
    twins = [kept.assign(measured_examples=EXAMPLES), without]
    trials = planted.named(pd.concat(twins[first:] + twins[:first]))
    assert [kinds["none"].wrong.shape for _, kinds in _examples.by_panel(trials)] == [(3, EXAMPLES)]


def test_the_dispersion_of_binomial_counts_is_one_and_of_fixed_answers_the_number_of_nets() -> None:
    generator = np.random.default_rng(0)
    counts = generator.binomial(50, 0.3, size=(40, 2000))
    drawn = c1.dispersion(counts / 50, 50)
    assert drawn.mean() == pytest.approx(1, abs=0.02)
    assert c1.dispersion(np.repeat([0.0, 1.0], 500), 50) == pytest.approx(50, rel=0.01)
    test = stats.kstest(1999 * drawn, stats.chi2(1999).cdf)
    assert test.pvalue > 0.001


def test_within_classes_the_dispersion_forgets_that_nets_prefer_a_class() -> None:
    labels = np.arange(2000) % 2
    rates = np.random.default_rng(0).binomial(50, np.where(labels, 0.8, 0.95)) / 50
    assert c1.dispersion(rates, 50) > 2
    assert c1.dispersion(rates, 50, labels) == pytest.approx(1, abs=0.15)


def test_leaving_one_out_is_what_it_says() -> None:
    wrong = np.random.default_rng(0).random((20, 30)) < 0.3
    examples, seeds = c1._leaving_one_out(wrong)
    without = np.delete(wrong, 4, axis=1)
    assert examples[4] == pytest.approx(np.log2(c1.dispersion(without.mean(axis=0), 20)))
    without = np.delete(wrong, 4, axis=0)
    assert seeds[4] == pytest.approx(np.log2(c1.dispersion(without.mean(axis=0), 19)))


def test_the_jackknife_of_a_mean_is_students_t() -> None:
    values = np.random.default_rng(0).normal(1, 1, size=12)
    left_out = (values.sum() - values) / 11
    assert jackknife_t(values.mean(), left_out) == pytest.approx(t_test(values))
    assert np.isnan(jackknife_t(1.0, left_out, np.ones(1)).p)


def test_c1_rarely_finds_a_difference_between_data_that_are_alike() -> None:
    """Crossed units, whose common part counts twice, make it careful: well under one in twenty."""
    generator = np.random.default_rng(0)

    def nets() -> Answers:
        wrong = generator.random((20, 100)) < generator.beta(2, 8, 100)
        return Answers(wrong, tuple(range(20)), None, None, 0)

    pairs = ({"none": nets(), "randY": nets()} for _ in range(60))
    p = [c1._compare(c1._BLANK, pair, "none", "randY").p for pair in pairs]
    assert np.mean(np.array(p) < 0.05) <= 0.1


def smoothed(by: dict[str, float], seeds: int = 5, noise: float = 0.01) -> pd.DataFrame:
    """CNNs whose trained filters have this much more low-frequency energy than their initial ones."""
    trials = planted.cells(range(seeds), levels=(0.0, 0.5, 1.0)).assign(model="cnn-keras")
    drawn = np.random.default_rng(0).normal(size=(2, len(trials)))
    initial = 0.36 + noise * drawn[0]
    trained = initial + trials["corruption"].map(by).to_numpy() + noise * drawn[1]
    return trials.assign(filter_low_frequency_initial=initial, filter_low_frequency=trained)


def test_filters_smoother_than_at_first_on_real_data_and_random_labels_support_c2() -> None:
    judged = found("C2", smoothed({"none": 0.2, "randX": 0.0, "randY": 0.15}))
    assert {part: each.verdict for part, each in judged.items()} == {
        "real": "supported here", "randY": "supported here",
    }  # fmt: skip
    assert judged["real"].finding.effect == pytest.approx(20, abs=1.5)
    assert re.search(r"randX: low-frequency share 3\d.\d % at first, 3", judged["real"].finding.detail)


def test_filters_that_stay_as_they_are_do_not_support_c2() -> None:
    judged = found("C2", smoothed({"none": 0.2, "randX": 0.0, "randY": 0.0}))
    assert judged["randY"].reason == "surely below 5"
    assert judged["real"].verdict == "supported here"


def test_c2_wants_three_seeds_and_the_measure_and_passes_mlps_over() -> None:
    two = found("C2", smoothed({"none": 0.2, "randX": 0.0, "randY": 0.2}, seeds=2))
    assert two["real"].reason == "2 seeds, needs 3: about 1 more run"
    plain = planted.cells(range(5)).assign(model="cnn-keras")
    assert {each.reason for each in found("C2", plain).values()} == {"no trial with --measures filters"}
    lost = found("C2", plain.assign(diverged=1.0))
    assert {each.reason for each in lost.values()} == {"all trials diverged"}
    (mlp,) = found("C2", planted.cells(range(5))).values()
    assert mlp.reason == "no finished trials of CNNs"


def test_c2_names_the_data_that_nobody_trained_on() -> None:
    trials = smoothed({"none": 0.2, "randX": 0.0, "randY": 0.2})
    partly = found("C2", trials[trials["corruption_level"] < 1])
    assert partly["real"].verdict == "supported here"
    assert partly["randY"].reason == "no trial on 100 % random labels"
    noise = found("C2", trials[trials["corruption_level"] > 0])
    assert noise["real"].reason == "no trial on real data"
