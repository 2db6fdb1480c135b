"""Does the loss depend on few training examples in real data, and on all of them in noise? (Arpit et al. 2017, figure 3)

Gini coefficient over the training examples of their loss sensitivities, against SGD steps: 0 where the loss depends on
all alike, 1 where it depends on a single one. A row each for the whole derivative of the mean training loss with respect to
an example (as in the paper), its part through the weights, and its part at fixed weights; 1-norms. Left: the data set's
classes, right: one class for each example. Means over seeds with a 95 % t-interval. Data on which a trial diverged, or its
sensitivities overflowed, are named, not averaged.
"""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure, SubFigure

from analysis import _blocks, _frames, _levels, _noise, _over_seeds, _sensitivity, _style

SWEEP = "sensitivity"
COLUMNS = _sensitivity.COLUMNS
ROWS = {
    "sensitivity_gini": "in all",
    "sensitivity_gini_indirect": "through the weights",
    "sensitivity_gini_direct": "at fixed weights",
}
"""What the rows of axes show."""
CURVES = (*ROWS, "sensitivity_gini_l2", "sensitivity_gini_max")
CLAIMS = ("C3", "C4")
CLASSES = {"data": "the data set's classes", "example": "one class for each example"}
_TITLE = "How unevenly the loss depends on the training examples"


def tabulate(trials: pd.DataFrame, curves: pd.DataFrame) -> pd.DataFrame:
    """One row per panel, classes (``labels``), data (``kind``, "none" is real) and SGD step: the means of the Gini
    coefficients of 1-norms, 2-norms and maximum norms with intervals and seeds.

    Data on which a trial was ``lost`` (see :mod:`analysis._sensitivity`) have one row, without a step.
    """
    trials = _sensitivity.by_data(trials)
    key = _sensitivity.KEY
    table = _sensitivity.lost(trials)
    kept = trials[_noise.sound(trials, key)]
    points = curves[curves["metric"].isin(CURVES)].astype({"trial": str, "metric": str})
    points = points.join(kept[[*key, "seed"]], on="trial", how="inner").rename(columns={"epoch": "step"})
    if len(points):
        table = table.join(pd.concat([_means(points, name) for name in CURVES], axis=1).reset_index("step"))
    numbers = [f"{name}{end}" for name in CURVES for end in ("", "_low", "_high", "_seeds")]
    columns = [*key, "step", *numbers, "lost"]
    whole = {name: "Int64" for name in columns if name == "step" or name.endswith("_seeds")}
    table = table.reset_index().reindex(columns=columns).astype(whole)
    return table.sort_values([*key, "step"]).reset_index(drop=True)


def _means(points: pd.DataFrame, metric: str) -> pd.DataFrame:
    """By data and step."""
    own = points[points["metric"] == metric].rename(columns={"value": metric})
    return _over_seeds.means(own, [*_sensitivity.KEY, "step"], metric)


def describe(table: pd.DataFrame) -> str:
    """Which data are drawn, with how many seeds."""
    drawn = table.dropna(subset=["step"])
    names = [name for kind, name in _sensitivity.KINDS.items() if (drawn["kind"] == kind).any()]
    return f"{', '.join(names) or 'nothing'} ({_seeds(drawn).partition(',')[0]})"


def _seeds(rows: pd.DataFrame) -> str:
    counts = rows["sensitivity_gini_seeds"].dropna()
    return _frames.seed_range(counts[counts > 0])


def draw(table: pd.DataFrame) -> Figure:
    """A block for each panel: a row of axes for each part of the derivative, a column for each kind of classes."""
    drawn = table.dropna(subset=["step"])
    if drawn.empty:
        return _style.nothing_to_draw(
            _TITLE, "No loss sensitivities of sound, finished trials.", f"python -m sweeps.{SWEEP}"
        )
    figure, blocks = _blocks.blocks(dict.fromkeys(drawn["panel"], 2.3 * len(ROWS) + 0.8))
    for panel, part in blocks:
        rows, everything = drawn[drawn["panel"] == panel], table[table["panel"] == panel]
        _blocks.heading(part, f"{panel} · {_seeds(rows)}", _sensitivity.not_drawn(everything))
        _draw_panel(part, rows)
    kinds = [kind for kind in _sensitivity.KINDS if (drawn["kind"] == kind).any()]
    handles = [_levels.handle(_levels.OF_KIND[kind], _sensitivity.KINDS[kind]) for kind in kinds]
    _blocks.legend_below(figure, handles, "training data")
    return figure


def _draw_panel(part: SubFigure, rows: pd.DataFrame) -> None:
    classes = [labels for labels in CLASSES if (rows["labels"] == labels).any()]
    steps = rows.rename(columns={"step": "epoch"})  # what curves are drawn over
    grid = part.subplots(len(ROWS), len(classes), sharex=True, sharey=True, squeeze=False)
    for (metric, how), axes_of in zip(ROWS.items(), grid, strict=True):
        for axes, labels in zip(axes_of, classes, strict=True):
            _levels.draw_kinds(axes, steps[steps["labels"] == labels], metric)
        axes_of[0].set_ylabel(f"Gini coefficient\n{how}")
    for axes, labels in zip(grid[0], classes, strict=True):
        axes.set_title(CLASSES[labels], weight="bold")
    for axes in grid[-1]:
        axes.set_xlabel("SGD steps")
    grid[0, 0].set_ylim(0, 1)
    _style.epoch_axis(grid[0, 0], int(rows["step"].max()), logarithmic_above=3)
    grid[0, 0].set_xlim(left=0.9 * int(rows["step"].min()))
