"""Does a net fit patterns before it fits noise, and how complex does it become? (Arpit et al. 2017, figures 7 and 8)

Through training, a line for each share of noise. Left: accuracy on the training set as it was trained on (solid) and on
clean validation data (dashed). Right: the critical sample ratio (CSR) of validation data, the share of examples that
have another predicted class within the radius of the search. A row for each kind of noise, real data (black) in both.
Means over seeds with a 95 % t-interval. A trial that stopped at convergence counts with its last values as long as
another seed of its setting goes on. The state before training, if measured, is not drawn. A level at which a trial
diverged is named, not averaged.
"""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.lines import Line2D

from analysis import _blocks, _curves, _frames, _levels, _noise, _style

SWEEP = "noise"
COLUMNS = _noise.COLUMNS
CURVES = ("train_accuracy", "validation_accuracy", "csr_validation")
CLAIMS = ("C10", "C11")
_DASHES: dict[str, _style.Dashes] = {"train_accuracy": "-", "validation_accuracy": (0, (3, 1.5))}
_TITLE = "Accuracy and critical sample ratio through training, by the share of noise"


def tabulate(trials: pd.DataFrame, curves: pd.DataFrame) -> pd.DataFrame:
    """One row per panel, kind of noise, level and epoch: see :func:`analysis._curves.means_by_epoch`."""
    trials = _noise.by_kind(_frames.with_columns(trials, COLUMNS))
    return _curves.means_by_epoch(trials, curves, CURVES)


def describe(table: pd.DataFrame) -> str:
    """How many levels are drawn, with how many seeds."""
    drawn = table.dropna(subset=["epoch"])
    levels = _frames.counted(len(_noise.levels(drawn)), "level")
    return f"{levels} of noise ({_curves.seeds(drawn, CURVES).partition(',')[0]})"


def draw(table: pd.DataFrame) -> Figure:
    """A block for each panel: kinds of noise in rows, accuracy and critical sample ratio in columns."""
    drawn = table.dropna(subset=["epoch"])
    if drawn.empty:
        return _style.nothing_to_draw(
            _TITLE, "No setting has sound, finished trials with curves.", f"python -m sweeps.{SWEEP}"
        )
    styles = _levels.styles(drawn["level"])
    figure, blocks = _blocks.blocks(_levels.heights(drawn))
    for panel, part in blocks:
        rows, everything = drawn[drawn["panel"] == panel], table[table["panel"] == panel]
        lost = _blocks.not_drawn(_noise.diverged_settings(everything))
        _blocks.heading(part, f"{panel} · {_curves.seeds(rows, CURVES)}", lost)
        _draw_panel(part, rows, styles)
    lines = [
        Line2D([], [], color=_style.INK, linestyle=_DASHES[metric], label=label)
        for metric, label in (
            ("train_accuracy", "training"),
            ("validation_accuracy", "validation"),
        )
    ]
    _blocks.legend_below(figure, [*_levels.handles(styles), *lines], _levels.LEGEND, columns=8)
    return figure


def _draw_panel(part: SubFigure, rows: pd.DataFrame, styles: dict[float, _levels.Style]) -> None:
    kinds = _levels.kinds(rows)
    grid = part.subplots(len(kinds), 2, sharex=True, sharey="col", squeeze=False)
    for (accuracy, ratio), kind in zip(grid, kinds, strict=True):
        of_kind = rows[rows["kind"] == kind]
        for metric, dashes in _DASHES.items():
            _draw_lines(accuracy, of_kind, metric, styles, dashes)
        _draw_lines(ratio, of_kind, "csr_validation", styles, "-")
        for axes, label in ((accuracy, "accuracy (%)"), (ratio, "validation CSR (%)")):
            _levels.title_kind(axes, kind)
            axes.set_ylabel(label)
    for axes in grid[0]:
        axes.set_ylim(bottom=0)
        _style.percent_axis(axes, "y")
    grid[0, 0].set_ylim(0, 1.03)
    for axes in grid[-1]:
        axes.set_xlabel("epoch")
    _style.epoch_axis(grid[0, 0], int(rows["epoch"].max()), logarithmic_above=3)


def _draw_lines(
    axes: Axes, rows: pd.DataFrame, metric: str, styles: dict[float, _levels.Style], dashes: _style.Dashes
) -> None:
    for level, style in styles.items():
        _levels.draw_curve(axes, rows[rows["level"] == level], metric, style, linestyle=dashes)
