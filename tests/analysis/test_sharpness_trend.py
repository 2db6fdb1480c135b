"""C14 and its figure on sharpnesses with planted trends."""

from __future__ import annotations

import numpy as np
import pandas as pd
import planted
import pytest
from invented_noise import scene
from test_figures import drawn, text_of

from analysis import figures
from analysis._statistics import t_test
from analysis.claims import c14
from analysis.claims._finding import Judged, judge

TRIALS = planted.cells(range(5))


def sharp(by_level: float, matched_by_level: float) -> pd.DataFrame:
    """Sharpnesses, at the end and at a matched loss, whose logarithms change with the level."""
    noise = 0.1 * np.random.default_rng(0).normal(size=len(TRIALS))
    level = TRIALS["corruption_level"]
    return TRIALS.assign(
        sharpness=np.exp(by_level * level + noise), sharpness_matched=np.exp(matched_by_level * level + noise)
    )


def found(trials: pd.DataFrame) -> dict[str, Judged]:
    return {j.finding.part: j for j in judge(c14.findings(trials, pd.DataFrame()))}


def test_sharpness_that_grows_at_the_end_and_falls_at_a_matched_loss_is_told_apart() -> None:
    judged = found(sharp(2.0, -2.0))
    for kind in ("randX", "randY"):
        assert judged[kind].verdict == "supported here"
        matched = judged[f"{kind}, at a matched loss"]
        assert (matched.verdict, matched.reason) == ("not supported here", "surely the other way")


def test_trials_that_never_get_to_the_loss_are_left_out_and_counted() -> None:
    trials = sharp(2.0, 2.0)
    late = (trials["corruption"] == "randY") & (trials["corruption_level"] == 1)
    judged = found(trials.assign(sharpness_matched=trials["sharpness_matched"].mask(late)))
    detail = judged["randY, at a matched loss"].finding.detail
    assert "5 trials never at that loss left out" in detail
    assert "at 1" not in detail
    assert "left out" not in judged["randX, at a matched loss"].finding.detail


def test_trials_whose_sharpness_nobody_measured_are_not_enough_data() -> None:
    assert {j.reason for j in found(TRIALS).values()} == {"sharpness at 0 levels, needs 2"}


def test_the_figure_has_geometric_means_with_intervals_over_seeds() -> None:
    frames = scene("noise", "many")
    table = figures.find("sharpness").tabulate(frames.trials, frames.curves)
    row = table[(table["kind"] == "randY") & (table["level"] == 0.8)].iloc[0]
    own = frames.trials.query("corruption == 'randY' and corruption_level == .8")
    mean, low, high, _ = t_test(np.log(own["sharpness"].to_numpy()))
    found_there = [row[f"sharpness{end}"] for end in ("", "_low", "_high")]
    assert found_there == pytest.approx(np.exp([mean, low, high]).tolist())
    assert row["sharpness_seeds"] == 3


def test_the_figure_says_how_well_the_losses_match_and_who_never_got_there() -> None:
    frames = scene("noise", "troubled")
    with drawn("sharpness", frames) as figure:
        text = text_of(figure)
    assert "Training losses on the right: 0.08 to 0.08 nats" in text
    assert "when training loss is first ≤ 0.1 nats" in text
    table = figures.find("sharpness").tabulate(frames.trials, frames.curves)
    assert ("never got to that loss" in text) == (table["late"].sum() > 0)
