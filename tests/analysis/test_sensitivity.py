"""The figures and claims on loss sensitivity, on trials whose answer is known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from invented_noise import frames_of_invented
from invented_sensitivity import FINAL, STEPS, invent_sensitivity, scene, settings
from invented_store import Invented
from test_figures import drawn, text_of

from analysis import claims, figures
from analysis._frames import Frames
from analysis.claims._finding import Judged, judge
from memory_study.config import TrialConfig


def table_of(name: str, frames: Frames) -> pd.DataFrame:
    return figures.find(name).tabulate(frames.trials, frames.curves)


def found(claim: str, frames: Frames) -> dict[str, Judged]:
    return {j.finding.part: j for j in judge(claims.find(claim).findings(frames.trials, frames.curves))}


def test_figure_3_has_the_mean_over_seeds_at_each_sgd_step_of_either_kind_of_classes() -> None:
    frames = scene("many")
    table = table_of("loss_sensitivity", frames)
    assert set(zip(table["labels"], table["kind"], strict=True)) == {
        *(("data", kind) for kind in FINAL), ("example", "none"), ("example", "randX"),
    }  # fmt: skip
    row = table[
        (table["labels"] == "example") & (table["kind"] == "randX") & (table["step"] == STEPS[-1])
    ].iloc[0]
    seeds = frames.trials.query("labels == 'example' and corruption == 'randX'")["sensitivity_gini"]
    assert row["sensitivity_gini_seeds"] == len(seeds) == 3
    assert row["sensitivity_gini"] == pytest.approx(seeds.mean())
    assert row["sensitivity_gini_high"] == pytest.approx(seeds.mean() + 4.302653 * seeds.std() / 3**0.5)
    assert table.groupby(["labels", "kind"])["step"].apply(tuple).map(lambda steps: steps == STEPS).all()


def test_the_markers_of_noise_do_not_cover_those_of_real_data() -> None:
    with drawn("loss_sensitivity", scene("many")) as figure:
        for axes in figure.axes:
            on_top = sorted(axes.get_lines(), key=lambda line: line.get_zorder())[-1]
            assert (on_top.get_color(), on_top.get_marker()) == ("#000000", "*")


@pytest.mark.parametrize("name", ["loss_sensitivity", "class_sensitivity"])
def test_data_on_which_a_trial_was_lost_are_named_and_not_drawn(name: str) -> None:
    frames = scene("troubled")
    lost = table_of(name, frames).query("lost > 0")
    assert ("data", "randY") in set(zip(lost["labels"], lost["kind"], strict=True))
    assert lost.drop(columns="lost").select_dtypes("number").isna().all(axis=None)
    with drawn(name, frames) as figure:
        text = text_of(figure)
    named = "random labels; random inputs, one class for each example"
    assert f"Diverged, not drawn: {named if name == 'loss_sensitivity' else 'random labels'}" in text


def test_partly_random_data_and_regularizers_are_another_question() -> None:
    frames = scene("many")
    other = frames.trials.assign(regularizer="dropout", sensitivity_off_diagonal=0.0)
    half = frames.trials[frames.trials["corruption"] != "none"].assign(corruption_level=0.5)
    both = Frames(pd.concat([frames.trials, other, half]), frames.curves)
    for name in ("loss_sensitivity", "class_sensitivity"):
        pd.testing.assert_frame_equal(table_of(name, both), table_of(name, frames))


def test_figure_4_is_the_mean_of_the_seeds_maps_whatever_their_scale() -> None:
    table = table_of("class_sensitivity", scene("many"))
    assert set(table["labels"]) == {"data"}
    for kind, cells in table.groupby("kind"):
        assert cells["share"].sum() == pytest.approx(1)
        off = cells[cells["loss_class"] != cells["example_class"]]["share"].sum()
        assert off == pytest.approx(cells["sensitivity_off_diagonal"].iloc[0], rel=1e-6), kind


def test_a_map_puts_the_loss_up_and_the_examples_across() -> None:
    (config,) = settings([0], labels=["data"])[:1]
    invented = invent_sensitivity(config)
    matrix = np.float32([[1, 0.5, np.nan], [0.25, 2, np.nan], [0.125, 0.75, np.nan]])
    frames = frames_of_invented([replace(invented, arrays={"class_sensitivity": matrix})])
    table = table_of("class_sensitivity", frames).set_index(["loss_class", "example_class"])["share"]
    assert table[1, 0] * 4.625 == pytest.approx(0.25)
    assert table[0, 1] * 4.625 == pytest.approx(0.5)
    assert table[:, 2].isna().all()  # no example has that label
    with drawn("class_sensitivity", frames) as figure:
        image = figure.axes[0].images[0].get_array()
    assert image[1, 0] * 4.625 == pytest.approx(0.25)


def test_more_even_noise_supports_c3_and_c4_and_mixed_classes_c5() -> None:
    for claim, parts in (("C3", ["randX", "randY"]), ("C4", ["randX"]), ("C5", ["randX", "randY"])):
        judged = found(claim, scene("many"))
        assert list(judged) == parts
        assert {each.verdict for each in judged.values()} == {"supported here"}


def invented(gini: dict[str, float], off_diagonal: dict[str, float], seeds: int = 4) -> Frames:
    """Seeds that shift real data and noise alike, a little different each time."""

    def trial(config: TrialConfig) -> Invented:
        base = invent_sensitivity(config)
        shift = 0.1 * config.seed + 0.001 * (config.seed % 3) * (config.corruption == "none")
        curve = {"sensitivity_gini": ((1000, gini[config.corruption] + shift),)}
        share = {"sensitivity_off_diagonal": off_diagonal[config.corruption] - shift}
        return replace(base, curves=curve, scalars=base.scalars | share)

    return frames_of_invented(trial(config) for config in settings(range(seeds)))


def test_seeds_are_paired_so_that_what_they_share_does_not_count() -> None:
    frames = invented({"none": 0.5, "randX": 0.3, "randY": 0.45}, {"none": 0.5, "randX": 0.6, "randY": 0.5})
    c3 = found("C3", frames)
    assert c3["randX"].finding.effect == pytest.approx(0.2, abs=0.01)
    assert c3["randX"].finding.high - c3["randX"].finding.low < 0.01
    assert c3["randX"].verdict == "supported here"
    assert c3["randY"].reason == "surely below 0.1"
    assert found("C5", frames)["randX"].reason == "surely the other way"


def test_effects_are_those_of_the_pairs_that_are_whole() -> None:
    frames = invented({"none": 0.5, "randX": 0.3, "randY": 0.3}, {"none": 0.5, "randX": 0.5, "randY": 0.5})
    gone = (frames.trials["seed"] == 3) & (frames.trials["corruption"] == "randX")
    trials = frames.trials.assign(
        sensitivity_gini=frames.trials["sensitivity_gini"].mask(gone & (frames.trials["labels"] == "data")),
        diverged=frames.trials["diverged"].mask(gone & (frames.trials["labels"] == "example"), 1.0),
    )
    few = Frames(trials, frames.curves)
    assert found("C3", few)["randX"].finding.n == 3
    assert "1 without a finite value left out" in found("C3", few)["randX"].finding.detail
    assert found("C4", few)["randX"].finding.n == 3
    assert "1 diverged trial left out" in found("C4", few)["randX"].finding.detail
    assert found("C3", few)["randY"].finding.n == 4


def test_noise_that_is_missing_is_named() -> None:
    frames = frames_of_invented(map(invent_sensitivity, settings(range(3))[:3]))
    assert found("C3", frames)["randY"].finding.missing == "no trials to compare on 100 % random labels"
    noise = frames_of_invented(map(invent_sensitivity, settings(range(3))[3:6]))
    assert found("C3", noise)["randX"].finding.missing == "no trials to compare on real data"
