"""Searches read from the tags of their trials: order, hypervolume, pairs, and the seeds that judge."""

from __future__ import annotations

import re
from collections.abc import Callable

import invented_frontier
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from invented_store import Writer, settings
from scipy import stats
from test_figures import drawn, text_of

from analysis import _searches, _settings, figures
from analysis.__main__ import _with_others
from analysis._cache import load
from analysis._frames import Frames, with_trials_of
from analysis._searches import hypervolume
from analysis._store import connect, find_experiment
from memory_study.config import TrialConfig

STEPS = 8
points = st.lists(st.tuples(st.integers(0, STEPS), st.integers(0, STEPS)), max_size=10)


def volume(found: list[tuple[int, int]]) -> float:
    return hypervolume([x / STEPS for x, _ in found], [y / STEPS for _, y in found])


@given(points)
def test_hypervolume_is_the_area_that_points_dominate_cell_by_cell(found: list[tuple[int, int]]) -> None:
    cells = sum(
        any(x <= column and y > row for x, y in found) for column in range(STEPS) for row in range(STEPS)
    )
    assert volume(found) == pytest.approx(cells / STEPS**2)


@given(points, st.randoms())
def test_hypervolume_depends_on_no_order_and_never_shrinks(
    found: list[tuple[int, int]], random: object
) -> None:
    shuffled = found.copy()
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert volume(shuffled) == pytest.approx(volume(found))
    assert volume(found[1:]) <= volume(found) + 1e-12


def words_of(frames: Frames) -> pd.DataFrame:
    return _searches.words(_settings.labelled(frames.trials))


def test_the_order_of_a_search_follows_from_its_tags() -> None:
    found = _searches.suggestions(words_of(invented_frontier.scene("many")))
    counts = found.groupby(["sampler", "repetition"])["number"].apply(list)
    assert set(counts.index) == {(sampler, seed) for sampler in ("random", "tpe") for seed in (0, 1, 2)}
    assert all(numbers == list(range(12)) for numbers in counts)
    first = found[found["number"] < 4].pivot_table(
        index=["repetition", "number"], columns="sampler", values="noise"
    )
    assert (first["tpe"] == first["random"]).all()  # one trial serves both


def test_a_suggestion_that_diverged_adds_nothing() -> None:
    sound, troubled = (words_of(invented_frontier.scene(name)) for name in ("many", "troubled"))
    served = len(_searches.suggestions(sound)) - len(_searches.suggestions(troubled))
    assert served == 2  # one trial that served two samplers
    last = _searches.progress(troubled).groupby(_searches.STUDY)["hypervolume"].last()
    whole = _searches.progress(sound).groupby(_searches.STUDY)["hypervolume"].last()
    assert (last.to_numpy() <= whole.to_numpy()).all()


def test_samplers_are_compared_in_pairs_of_one_seed_at_equal_cost() -> None:
    rows = words_of(invented_frontier.scene("many"))
    shorter = rows[~((rows["sampler"] == "tpe") & (rows["repetition"] == "0") & (rows["number"] >= 9))]
    (row,) = _searches.compared(_searches.progress(shorter)).itertuples()
    assert (row.sampler, row.number, row.repetitions) == ("tpe", 9, 3)
    first = _searches.suggestions(rows[rows["number"] < 9])
    volumes = first.groupby(["sampler", "repetition"]).apply(
        lambda rows: hypervolume(rows["noise"], rows["real"])
    )
    expected = stats.ttest_rel(volumes["tpe"], volumes["random"])
    assert row.effect == pytest.approx((volumes["tpe"] - volumes["random"]).mean())
    assert row.p == pytest.approx(expected.pvalue)
    assert (row.low, row.high) == pytest.approx(tuple(expected.confidence_interval()))


def diverged(rows: pd.DataFrame, sampler: str, repetition: str, from_number: int) -> pd.DataFrame:
    """The words with a study's suggestions from that one on diverged."""
    lost = (rows["sampler"] == sampler) & (rows["repetition"] == repetition) & (rows["number"] >= from_number)
    return rows.assign(diverged=rows["diverged"].mask(lost, 1.0))


@pytest.mark.parametrize("from_number", [0, 9])
def test_suggestions_that_diverge_at_the_end_of_a_study_count(from_number: int) -> None:
    rows = words_of(invented_frontier.scene("many"))
    volumes = _searches.progress(diverged(rows, "tpe", "0", from_number))
    assert set(volumes.groupby(_searches.STUDY)["number"].max()) == {12}
    of_study = volumes[(volumes["sampler"] == "tpe") & (volumes["repetition"] == 0)]["hypervolume"]
    assert of_study.iloc[from_number:].nunique() == 1  # what was known before, or nothing
    (row,) = _searches.compared(volumes).itertuples()
    assert (row.number, row.repetitions) == (12, 3)


@pytest.mark.parametrize(
    "word",
    ["by hand", "abc/tpe/0", "abc/tpe/zero/1", "abc/tpe/0/one", "abc/tpe/front@/1", "a/b/0/" + "9" * 30],
)
def test_a_word_of_another_form_is_none(word: str) -> None:
    frames = invented_frontier.scene("many")
    marked = frames.trials.assign(
        suggested=frames.trials["suggested"].mask(frames.trials["suggested"].notna(), word)
    )
    assert words_of(Frames(marked, frames.curves)).empty
    both = frames.trials.assign(suggested=frames.trials["suggested"] + f" {word}")
    figure = figures.find("frontier")
    pd.testing.assert_frame_equal(
        figure.tabulate(both, frames.curves), figure.tabulate(frames.trials, frames.curves)
    )


def test_a_front_is_judged_by_the_seeds_that_chose_nothing_and_by_the_test_set() -> None:
    frames = invented_frontier.scene("many")
    table = figures.find("frontier").tabulate(frames.trials, frames.curves)
    front = table[table["what"] == "front"]
    assert front.groupby("sampler").size().to_dict() == {"random": 3, "tpe": 3}
    assert set(front["test_seeds"]) == {3}
    row = front.iloc[0]
    same = frames.trials[
        (frames.trials["regularizers"] == row["regularizers"]) & (frames.trials["seed"] >= 1000)
    ]
    assert row["test"] == pytest.approx(same.loc[same["corruption"] == "none", "test_accuracy"].mean())
    assert row["noise"] == pytest.approx(same.loc[same["corruption"] == "randY", "train_accuracy"].mean())


def test_of_a_search_that_went_on_the_last_front_is_shown() -> None:
    words = invented_frontier.searched((0, 1), 6) | {
        config: [f"abc/tpe/front@3/{place}"]
        for place in range(4)
        for config in settings([1000, 1001], [{"dropout": 0.11 + place / 100}])
    }
    judged = _searches.judging(words_of(invented_frontier.frames_of_searches(words)))
    assert {name.partition("@")[2] for name in judged["repetition"]} == {"6"}


def test_single_regularizers_are_those_of_the_other_experiment_without_a_suggestion() -> None:
    alone = invented_frontier.scene("two panels")
    beside = invented_frontier.alone(settings(range(3), [{"dropout": 0.5}, {}]))
    both = with_trials_of(alone, beside)
    figure = figures.find("frontier")
    singles = figure.tabulate(both.trials, both.curves).query("what == 'single'")
    assert sorted(singles["regularizers"]) == ["dropout=0.5", "none"]
    assert singles["panel"].nunique() == 1
    assert np.isfinite(singles["test"]).all()
    assert figure.tabulate(alone.trials, alone.curves).query("what == 'single'").empty


def test_the_figure_says_how_many_seeds_are_behind_fronts_and_single_regularizers() -> None:
    with drawn("frontier", invented_frontier.scene("many")) as figure:
        text = text_of(figure)
        left = figure.axes[0]
    assert "3 kinds searched with 3 seeds, 95 % intervals" in text
    assert "Large points: fronts, trained again with 3 fresh seeds, 95 % intervals" in text
    assert "Grey points: single regularizers, 3 seeds, 95 % intervals" in text
    assert re.search(r"tpe − random: .* points\n\[.*\], p = \S+ uncorrected", text)
    assert len(left.containers) == 3  # points with intervals: of two samplers and of single regularizers
    with drawn("frontier", invented_frontier.scene("two panels")) as figure:
        assert "Grey points" not in text_of(figure)
    frames = invented_frontier.scene("two panels")
    going_on = Frames(frames.trials[frames.trials["seed"] < 1000], frames.curves)
    with drawn("frontier", going_on) as figure:
        assert "Large points" not in text_of(figure)


def test_single_regularizers_are_shown_though_their_experiment_predates_a_field() -> None:
    """Of which the searches have two values, and only one of them is what the older experiment did."""
    words = invented_frontier.searched((0, 1), 6) | invented_frontier.searched(
        (0, 1), 6, validation_schedule="curve"
    )
    searches = invented_frontier.frames_of_searches(words)
    beside = invented_frontier.alone(settings(range(3), [{"dropout": 0.5}, {}]))
    older = Frames(beside.trials.drop(columns=["validation_schedule", "pruned_share"]), beside.curves)
    both = with_trials_of(searches, older)
    singles = figures.find("frontier").tabulate(both.trials, both.curves).query("what == 'single'")
    assert sorted(singles["regularizers"]) == ["dropout=0.5", "none"]
    assert set(singles["panel"]) == {"digits · mlp · 1000 examples · validation schedule every-epoch"}
    assert np.isfinite(singles["test"]).all()


def test_the_other_experiment_is_read_where_it_is_there(
    store_with: Callable[[list[TrialConfig]], Writer],
) -> None:
    writer = store_with(settings([0, 1], [{}]))
    store = connect(writer.uri)
    for name, found in (("other", 4), ("regularization", 4)):  # beside another experiment, and beside itself
        if name == "other":
            writer.experiment(name)
        experiment = find_experiment(store, name)
        frames = load(store, experiment, [], None)
        assert len(_with_others(store, experiment, "frontier", frames, True).trials) == found
    assert _with_others(store, experiment, "capacity", frames, True) is frames


def test_a_trial_of_a_search_that_is_not_marked_yet_is_no_single_regularizer() -> None:
    frames = invented_frontier.scene("many")
    trials = frames.trials.assign(sweep="regularization")
    trials.loc[trials["suggested"].isna() & (trials["regularizers"] == "dropout=0.5"), "sweep"] = "frontier"
    singles = figures.find("frontier").tabulate(trials, frames.curves).query("what == 'single'")
    assert "dropout=0.7" in set(singles["regularizers"])
    assert "dropout=0.5" not in set(singles["regularizers"])
