"""What is compared where training examples were dropped, on trials whose answer is known."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from invented_noise import frames_of_invented
from invented_pruning import SHARES, dropping, invent_pruned, scene

from analysis import _frames, _pruning, figures
from analysis._statistics import t_test
from analysis.claims import c16
from analysis.claims._finding import Judged, judge

LOWEST, HIGHEST = "clean labels, lowest dropped", "20 % of labels drawn anew, highest dropped"


def judged(trials: pd.DataFrame) -> dict[str, Judged]:
    return {j.finding.part: j for j in judge(c16.findings(trials, pd.DataFrame()))}


def changed(trials: pd.DataFrame, by: float) -> pd.DataFrame:
    """Loss sensitivity's trials with another test accuracy."""
    own = trials["pruning_score"] == "loss_sensitivity"
    return trials.assign(test_accuracy=trials["test_accuracy"] + by * own)


def test_dropping_nothing_and_by_lot_are_there_for_each_end() -> None:
    ways = _pruning.ways(_frames.with_columns(scene("many").trials, _pruning.COLUMNS))
    for score in ("loss", "random"):
        rows = ways[(ways["score"] == score) & (ways["data"] == _pruning.CLEAN)]
        for end in ("low", "high"):
            assert sorted(rows.loc[rows["end"] == end, "share"]) == sorted(3 * [0.0, *SHARES])
    assert set(ways["panel"]) == {"digits · mlp · 1000 examples · scored after 10 epochs"}


def test_examples_that_were_scored_at_two_times_make_two_panels() -> None:
    configs = [*dropping([0, 1, 2]), *dropping([0, 1, 2], scoring_epochs=3)]
    trials = frames_of_invented({c.id: invent_pruned(c) for c in configs}.values()).trials
    panels = _pruning.ways(_frames.with_columns(trials, _pruning.COLUMNS)).groupby("panel")
    assert [name.rpartition(" · ")[2] for name, _ in panels] == [
        "scored after 10 epochs",
        "scored after 3 epochs",
    ]
    assert len({len(rows) for _, rows in panels}) == 1


def test_a_gain_at_both_ends_supports_c16_and_a_loss_does_not() -> None:
    trials = scene("many").trials
    assert {part: j.verdict for part, j in judged(trials).items()} == dict.fromkeys(
        (HIGHEST, LOWEST), "supported here"
    )
    for found in judged(changed(trials, -0.1)).values():
        assert (found.verdict, found.reason) == ("not supported here", "surely the other way")
    even = trials.assign(test_accuracy=trials["test_accuracy"].where(trials["pruned_share"] == 0, 0.8))
    for found in judged(even).values():
        assert (found.verdict, found.reason) == ("not supported here", "surely below 0.5")


def test_the_effect_is_the_mean_over_shares_of_the_difference_from_chance_of_one_seed() -> None:
    trials = scene("many").trials
    clean = trials[(trials["corruption"] == "none") & (trials["pruned_end"] == "low")]
    by_score = clean.pivot_table("test_accuracy", ["seed", "pruned_share"], "pruning_score")
    points = 100 * (by_score["loss_sensitivity"] - by_score["random"]).groupby("seed").mean()
    finding = judged(trials)[LOWEST].finding
    effect, low, high, p = t_test(points.to_numpy())
    assert (finding.effect, finding.low, finding.high, finding.p) == pytest.approx((effect, low, high, p))
    assert "loss lowest +1." in finding.detail
    assert "AUROC for false labels: forgetting 0.879, loss 0.931" in judged(trials)[HIGHEST].finding.detail


def test_a_share_that_a_seed_has_with_one_score_only_is_not_compared() -> None:
    trials = scene("many").trials
    lost = (trials["pruning_score"] == "random") & (trials["pruned_share"] == 0.4) & (trials["seed"] == 1)
    found = judged(trials.assign(diverged=trials["diverged"].mask(lost, 1.0)))[LOWEST].finding
    assert found.n == 3
    assert "1 diverged trial left out" in found.detail
    assert np.isfinite(found.p)


def test_a_trial_whose_first_training_gave_no_scores_is_left_out_and_counted() -> None:
    trials = scene("many").trials
    lost = (trials["pruning_score"] == "loss_sensitivity") & (trials["seed"] == 1)
    told = trials.assign(
        scores_finite=np.where(trials["pruned_share"] > 0, np.where(lost, 0.0, 1.0), np.nan),
        test_accuracy=trials["test_accuracy"].mask(lost, 0.1),
    )
    assert judged(told)[LOWEST].finding.n == 2
    one = lost & (trials["pruned_share"] == 0.2)
    found = judged(told.assign(scores_finite=1.0 - one))[LOWEST].finding
    assert found.n == 3
    assert "1 diverged trial left out, 1 of them without scores" in found.detail
    table = figures.find("pruning").tabulate(told, pd.DataFrame())
    gone = table[(table["score"] == "loss_sensitivity") & (table["share"] > 0)]
    assert (gone["diverged"] == 1).all()
    assert gone["test_accuracy"].isna().all()


def test_nothing_is_found_in_noise_more_often_than_the_test_says() -> None:
    trials, generator = scene("many").trials, np.random.default_rng(0)
    alarms = []
    for _ in range(30):
        drawn = trials.assign(test_accuracy=0.9 + 0.01 * generator.normal(size=len(trials)))
        alarms += [f.p < 0.05 for f in c16.findings(drawn, pd.DataFrame())]
    assert np.mean(alarms) < 0.1


def test_the_figure_has_means_over_seeds_and_the_scores_area_under_the_curve() -> None:
    frames = scene("many")
    table = figures.find("pruning").tabulate(frames.trials, frames.curves)
    rows = table[(table["data"] != _pruning.CLEAN) & (table["score"] == "loss") & (table["end"] == "high")]
    assert rows["share"].tolist() == [0.0, *SHARES]
    own = frames.trials.query("pruning_score == 'loss' and pruned_end == 'high' and corruption == 'randY'")
    means = own.groupby("pruned_share")["test_accuracy"].mean()
    assert rows["test_accuracy"].tolist()[1:] == pytest.approx(means.tolist())
    of_score = frames.trials.query("pruning_score == 'loss'")["flipped_auroc"].mean()
    assert rows["flipped_auroc"].tolist() == pytest.approx([of_score] * 3)
