"""Contracts of every figure, found by name: it draws from zero, one and many runs, to equal bytes."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from invented_store import SMALL, Writer, settings
from matplotlib.figure import Figure
from matplotlib.text import Text

from analysis import _style, figures
from analysis._frames import Frames
from memory_study.config import TrialConfig
from memory_study.record import CURVES

every_figure = pytest.mark.parametrize("name", figures.names())
Read = Callable[[Writer], Frames]
Write = Callable[[list[TrialConfig]], Writer]


@contextmanager
def drawn(name: str, frames: Frames) -> Iterator[Figure]:
    figure = figures.find(name)
    with _style.look():
        yield figure.draw(figure.tabulate(frames.trials, frames.curves))


def text_of(figure: Figure) -> str:
    return "\n".join(text.get_text() for text in figure.findobj(Text) if text.get_visible())


@pytest.fixture(scope="module")
def one_trial(store_with: Write, frames_of: Read) -> Frames:
    return frames_of(store_with(settings([0], [{}])[:1]))


@pytest.fixture(scope="module")
def two_panels(store_with: Write, frames_of: Read) -> Frames:
    """Two nets, two seeds, one setting of which has a missing trial."""
    return frames_of(store_with(settings([0, 1], SMALL[:4]) + settings([0, 1], SMALL[:3], width=64)[:-1]))


@every_figure
def test_a_figure_of_nothing_says_what_is_missing_and_which_command_fills_it(
    name: str, store_with: Write, frames_of: Read
) -> None:
    with drawn(name, frames_of(store_with([]))) as figure:
        assert f"python -m sweeps.{figures.find(name).SWEEP}" in text_of(figure)


@every_figure
def test_a_figure_draws_from_one_trial(name: str, one_trial: Frames, tmp_path: Path) -> None:
    with drawn(name, one_trial) as figure:
        _style.save(figure, tmp_path / name)
    for line in figures.find(name).verdicts(one_trial.trials, one_trial.curves):
        assert "not enough data" in line


@every_figure
@pytest.mark.parametrize("source", ["frames", "two_panels"])
def test_a_figure_of_many_trials_has_axes_with_units_and_the_number_of_seeds(
    name: str, source: str, request: pytest.FixtureRequest
) -> None:
    with drawn(name, request.getfixturevalue(source)) as figure:
        text = text_of(figure)
    assert "(%)" in text
    assert re.search(r"\d seeds", text)
    assert "95 % interval" in text


@every_figure
def test_equal_stores_give_equal_files(name: str, frames: Frames, tmp_path: Path) -> None:
    for folder in ("first", "second"):
        (tmp_path / folder).mkdir()
        with drawn(name, frames) as figure:
            _style.save(figure, tmp_path / folder / name)
    for suffix in (".png", ".svg"):
        first, second = (tmp_path / folder / f"{name}{suffix}" for folder in ("first", "second"))
        assert first.read_bytes() == second.read_bytes()


@every_figure
def test_text_stays_text_in_an_svg(name: str, frames: Frames, tmp_path: Path) -> None:
    with drawn(name, frames) as figure:
        _, svg = _style.save(figure, tmp_path / name)
    assert "random labels" in "".join(re.findall(r"<text[^>]*>([^<]*)</text>", svg.read_text()))


@every_figure
@pytest.mark.parametrize("source", ["frames", "two_panels"])
def test_axes_and_legends_lie_inside_the_figure_and_apart(
    name: str, source: str, request: pytest.FixtureRequest
) -> None:
    with drawn(name, request.getfixturevalue(source)) as figure:
        figure.draw_without_rendering()
        legends = [*figure.legends, *(axes.get_legend() for axes in figure.axes if axes.get_legend())]
        plots = [axes.get_window_extent() for axes in figure.axes]
        boxes = [legend.get_window_extent() for legend in legends]
        whole = figure.bbox.padded(1)
    for box in [*plots, *boxes]:
        assert whole.x0 <= box.x0 < box.x1 <= whole.x1
        assert whole.y0 <= box.y0 < box.y1 <= whole.y1
    for one, other in combinations([box.padded(-1) for box in plots + boxes], 2):
        assert not one.overlaps(other)


@every_figure
def test_a_figure_tabulates_without_touching_its_input(name: str, frames: Frames) -> None:
    trials, curves = frames.trials.copy(), frames.curves.copy()
    figures.find(name).tabulate(frames.trials, frames.curves)
    pd.testing.assert_frame_equal(frames.trials, trials)
    pd.testing.assert_frame_equal(frames.curves, curves)


@every_figure
def test_a_figure_asks_a_question_and_names_known_curves(name: str) -> None:
    assert "?" in figures.question(name)
    assert set(figures.find(name).CURVES) <= set(CURVES)


def test_an_unknown_figure_is_refused_with_those_there_are() -> None:
    with pytest.raises(
        ValueError, match=r"figure 'pie' is not known; choose from regularization, training_curves"
    ):
        figures.find("pie")


def test_figure_10_has_a_row_for_each_setting_with_means_over_seeds(frames: Frames) -> None:
    table = figures.find("regularization").tabulate(frames.trials, frames.curves)
    assert len(table) == len(SMALL) + 1
    row = table[table["regularizers"] == "dropout=0.5"].iloc[0]
    trials = frames.trials[frames.trials["regularizers"] == "dropout=0.5"]
    real, random = (trials[trials["corruption"] == kind] for kind in ("none", "randY"))
    assert row["real_validation_accuracy"] == pytest.approx(real["best_validation_accuracy"].mean())
    assert row["random_train_accuracy"] == pytest.approx(random["train_accuracy"].mean())
    assert row["real_validation_accuracy_seeds"] == row["random_train_accuracy_seeds"] == 3
    assert row["censored_random"] == 3


def test_figure_10_names_a_diverged_setting_and_does_not_average_it(frames: Frames) -> None:
    module = figures.find("regularization")
    table = module.tabulate(frames.trials, frames.curves)
    row = table[table["regularizers"] == "weight_decay=1.0"].iloc[0]
    assert (row["diverged_real"], row["diverged_random"]) == (1, 1)
    assert np.isnan(row["real_validation_accuracy"])
    with drawn("regularization", frames) as figure:
        assert "Diverged, not drawn:\n  weight decay 1" in text_of(figure)


def test_figure_11_shows_the_strengths_that_cap_noise_alike(frames: Frames) -> None:
    table = figures.find("training_curves").tabulate(frames.trials, frames.curves)
    last = table[(table["labels"] == "randY") & (table["epoch"] == table["epoch"].max())].set_index(
        "regularizers"
    )
    dropout = last[last["regularizer"] == "dropout"]
    shown = dropout[dropout["shown"] > 0].sort_values("shown")
    assert shown["accuracy"].is_monotonic_decreasing
    strongest = dropout.loc[(dropout["accuracy"] - 0.25).abs().idxmin()]
    assert strongest["shown"] == 3
    assert not (table["regularizers"] == "weight_decay=1.0").any()
