"""Contracts of every figure, found by name: it draws from zero, one and many runs, to equal bytes."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from html import unescape
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from invented_store import SMALL
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.transforms import Bbox

from analysis import _style, figures
from analysis._frames import Frames
from memory_study.record import CURVES

every_figure = pytest.mark.parametrize("name", figures.names())
every_scene = pytest.mark.parametrize("scene", ["many", "two panels", "troubled"])
Scenes = Callable[[str, str], Frames]
Drawings = Callable[[str, str], Figure]


@contextmanager
def drawn(name: str, frames: Frames) -> Iterator[Figure]:
    figure = figures.find(name)
    with _style.look():
        yield figure.draw(figure.tabulate(frames.trials, frames.curves))


def text_of(figure: Figure) -> str:
    return "\n".join(text.get_text() for text in figure.findobj(Text) if text.get_visible())


def labels_of(figure: Figure) -> list[str]:
    """What the axes say, a string for each line."""
    written = [
        text
        for axes in figure.axes
        for text in (axes.get_xlabel(), axes.get_ylabel(), axes.get_title("left"))
    ]
    return [line for text in written for line in text.splitlines() if line]


@pytest.fixture(scope="module")
def drawings(scenes: Scenes) -> Drawings:
    """The laid out figure of a scene, drawn once: not for tests that change it."""

    @cache
    def of_figure(name: str, scene: str) -> Figure:
        with drawn(name, scenes(name, scene)) as figure:
            figure.draw_without_rendering()
        return figure

    return of_figure


@every_figure
def test_a_figure_of_nothing_says_what_is_missing_and_which_command_fills_it(
    name: str, scenes: Scenes
) -> None:
    with drawn(name, scenes(name, "nothing")) as figure:
        assert f"python -m sweeps.{figures.find(name).SWEEP}" in text_of(figure)


@every_figure
def test_a_figure_of_nothing_has_all_its_text_inside(name: str, drawings: Drawings) -> None:
    figure = drawings(name, "nothing")
    texts = [text for text in figure.findobj(Text) if text.get_text().strip()]
    assert_inside_and_apart(figure, [(text.get_text(), text.get_window_extent()) for text in texts])


@every_figure
def test_a_figure_draws_from_one_trial(name: str, scenes: Scenes, tmp_path: Path) -> None:
    with drawn(name, scenes(name, "one trial")) as figure:
        png, svg = _style.save(figure, tmp_path / name)
    assert png.stat().st_size > 0
    assert svg.stat().st_size > 0


@every_figure
def test_a_figure_draws_from_trials_that_all_diverged(name: str, scenes: Scenes, tmp_path: Path) -> None:
    with drawn(name, scenes(name, "all diverged")) as figure:
        png, _ = _style.save(figure, tmp_path / name)
        assert f"python -m sweeps.{figures.find(name).SWEEP}" in text_of(figure)
    assert png.stat().st_size > 0


@every_figure
@every_scene
def test_a_figure_of_many_trials_has_axes_with_units_and_the_number_of_seeds(
    name: str, scene: str, drawings: Drawings
) -> None:
    figure = drawings(name, scene)
    labels = {
        label_of(axis)
        for axes in figure.axes if axes.get_visible() and axes.axison
        for axis in (axes.xaxis, axes.yaxis) if has_numbers(axis)
    }  # fmt: skip
    assert labels
    assert [label for label in labels if not WITH_UNIT.search(label)] == []
    assert figure.subfigs
    for part in figure.subfigs:
        assert re.search(r"\d seeds, \d+ % interval", " ".join(part.get_suptitle().split()))


WITH_UNIT = re.compile(
    r"\((%|% of the square|nats per squared weight|units per hidden layer|channels per convolution)\)$"
    r"|^(epochs?|SGD steps|training examples|settings|percentage points)\b"  # what is counted
    r"|\bof class$|^Gini coefficient\b|^AUROC\b"  # names, and numbers without a unit
)
"""Labels of axes that say what their numbers are of. A figure with another unit names it here."""


def has_numbers(axis: Axis) -> bool:
    """Whether numbers are written at the ticks, as they are not inside a grid of axes that share them."""
    texts = [text.get_text() for text in axis.get_ticklabels() if text.get_text()]
    return bool(texts) and all(re.fullmatch(r"[−-]?[\d.,]+|\$.*\$", text) for text in texts)


def label_of(axis: Axis) -> str:
    """What is written along an axis, or along all axes of its part of the figure."""
    part = axis.axes.figure
    whole = part.get_supxlabel() if axis.axis_name == "x" else part.get_supylabel()
    return " ".join((axis.get_label_text() or whole).split())


@every_figure
def test_equal_stores_give_equal_files(name: str, scenes: Scenes, tmp_path: Path) -> None:
    for folder in ("first", "second"):
        (tmp_path / folder).mkdir()
        with drawn(name, scenes(name, "troubled")) as figure:
            _style.save(figure, tmp_path / folder / name)
    for suffix in (".png", ".svg"):
        first, second = (tmp_path / folder / f"{name}{suffix}" for folder in ("first", "second"))
        assert first.read_bytes() == second.read_bytes()


def test_the_last_digits_of_a_layout_leave_no_trace(tmp_path: Path) -> None:
    files = []
    for shift in (0.0, 1e-13):
        with _style.look():
            figure = Figure(layout="none")
            figure.add_axes((0.1 + shift, 0.1, 0.8, 0.8)).plot([0, 1])
            files.append(_style.save(figure, tmp_path / f"{shift}")[1].read_bytes())
    assert files[0] == files[1]


@every_figure
def test_text_stays_text_in_an_svg(name: str, scenes: Scenes, tmp_path: Path) -> None:
    with drawn(name, scenes(name, "many")) as figure:
        _, svg = _style.save(figure, tmp_path / name)
        labels = labels_of(figure)
    written = {unescape(text) for text in re.findall(r"<text[^>]*>([^<]*)</text>", svg.read_text())}
    assert labels
    assert set(labels) <= written


@every_figure
@every_scene
def test_axes_and_legends_lie_inside_the_figure_and_apart(name: str, scene: str, drawings: Drawings) -> None:
    figure = drawings(name, scene)
    legends = [*figure.legends, *(axes.get_legend() for axes in figure.axes if axes.get_legend())]
    boxes = [(repr(part), part.get_window_extent()) for part in [*figure.axes, *legends]]
    assert_inside_and_apart(figure, boxes)


@every_figure
@every_scene
def test_no_text_covers_another_or_leaves_the_figure(name: str, scene: str, drawings: Drawings) -> None:
    figure = drawings(name, scene)
    ticks = {
        tick for axes in figure.axes for axis in (axes.xaxis, axes.yaxis) for tick in ticks_out_of_view(axis)
    }
    texts = [text for text in figure.findobj(Text) if text.get_visible() and text.get_text().strip()]
    boxes = [(text.get_text(), text.get_window_extent()) for text in texts if text not in ticks]
    assert_inside_and_apart(figure, boxes)


def ticks_out_of_view(axis: Axis) -> list[Text]:
    """The labels of ticks beyond the limits, which are not drawn."""
    low, high = sorted(axis.get_view_interval())
    return [tick.label1 for tick in axis.get_major_ticks() if not low <= tick.get_loc() <= high]


def assert_inside_and_apart(figure: Figure, boxes: list[tuple[str, Bbox]]) -> None:
    whole = figure.bbox.padded(1)
    for name, box in boxes:
        assert whole.x0 <= box.x0 < box.x1 <= whole.x1, name
        assert whole.y0 <= box.y0 < box.y1 <= whole.y1, name
    for (name, box), (other, another) in combinations(boxes, 2):
        assert not box.padded(-1).overlaps(another.padded(-1)), (name, other)


@every_figure
def test_a_table_and_its_description_do_not_depend_on_the_order_of_trials(name: str, scenes: Scenes) -> None:
    frames, figure = scenes(name, "troubled"), figures.find(name)
    table = figure.tabulate(frames.trials, frames.curves)
    shuffled = figure.tabulate(frames.trials.sample(frac=1, random_state=1), frames.curves)
    pd.testing.assert_frame_equal(table, shuffled)
    assert re.search(r"\(\d seeds\)|drawn|with curves", figure.describe(table))


@every_figure
def test_a_figure_tabulates_without_touching_its_input(name: str, scenes: Scenes) -> None:
    frames = scenes(name, "troubled")
    trials, curves = frames.trials.copy(), frames.curves.copy()
    figures.find(name).tabulate(frames.trials, frames.curves)
    pd.testing.assert_frame_equal(frames.trials, trials)
    pd.testing.assert_frame_equal(frames.curves, curves)


@every_figure
def test_a_figure_asks_a_question_and_names_known_curves(name: str) -> None:
    assert "?" in figures.question(name)
    assert set(figures.find(name).CURVES) <= set(CURVES)
    assert all(re.fullmatch(r"C\d+", claim) for claim in figures.find(name).CLAIMS)


def test_an_unknown_figure_is_refused_with_those_there_are() -> None:
    with pytest.raises(
        ValueError, match="figure 'pie' is not known; choose from " + ", ".join(figures.names())
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
    last = table[(table["side"] == "randY") & (table["epoch"] == table["epoch"].max())].set_index(
        "regularizers"
    )
    dropout = last[last["regularizer"] == "dropout"]
    shown = dropout[dropout["shown"] > 0].sort_values("shown")
    assert shown["accuracy"].is_monotonic_decreasing
    strongest = dropout.loc[(dropout["accuracy"] - 0.25).abs().idxmin()]
    assert strongest["shown"] == 3
    assert not (table["regularizers"] == "weight_decay=1.0").any()
