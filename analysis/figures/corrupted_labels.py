"""What becomes of falsely labelled examples: does a net know their true labels before it fits the false ones?

Through training on random labels, a line for each share of them, over the training examples whose random label is not
the true one. Left: the share predicted as the false label that they are trained with. Right: the share predicted as
their true label, which the net has been told of other examples only. Means over seeds with a 95 % t-interval. A trial
that stopped at convergence counts with its last values as long as another seed of its setting goes on. A level at which
a trial diverged is named, not averaged. Beyond Arpit et al. 2017, whose figures 7 and 8 show both kinds together.
"""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure, SubFigure

from analysis import _blocks, _curves, _frames, _levels, _noise, _style

SWEEP = "noise"
COLUMNS = _noise.COLUMNS
SHARES = {
    "corrupted_fitted_false": "predicted as their false label",
    "corrupted_predicted_true": "predicted as their true label",
}
"""What the columns of axes show, of the falsely labelled examples."""
CURVES = tuple(SHARES)
CLAIMS: tuple[str, ...] = ()
_TITLE = "What falsely labelled training examples are predicted as, through training"


def tabulate(trials: pd.DataFrame, curves: pd.DataFrame) -> pd.DataFrame:
    """One row per panel, level of random labels and epoch: see :func:`analysis._curves.means_by_epoch`."""
    trials = _noise.by_kind(_frames.with_columns(trials, COLUMNS))
    random = trials[(trials["kind"] == "randY") & (trials["level"] > 0)]
    return _curves.means_by_epoch(random, curves, CURVES)


def describe(table: pd.DataFrame) -> str:
    """How many levels are drawn, with how many seeds."""
    drawn = _drawn(table)
    levels = _frames.counted(len(_noise.levels(drawn)), "level")
    return f"{levels} of random labels ({_curves.seeds(drawn, CURVES).partition(',')[0]})"


def draw(table: pd.DataFrame) -> Figure:
    """A row for each panel: false and true labels in columns."""
    drawn = _drawn(table)
    if drawn.empty:
        return _style.nothing_to_draw(
            _TITLE, "No sound, finished trials say what false labels become.", f"python -m sweeps.{SWEEP}"
        )
    styles = _levels.styles(drawn["level"])
    figure, blocks = _blocks.blocks(dict.fromkeys(drawn["panel"], 3.6))
    for panel, part in blocks:
        rows, everything = drawn[drawn["panel"] == panel], table[table["panel"] == panel]
        lost = _blocks.not_drawn(_noise.diverged_settings(everything))
        _blocks.heading(part, f"{panel} · {_curves.seeds(rows, CURVES)}", lost)
        _draw_panel(part, rows, styles)
    _blocks.legend_below(figure, _levels.handles(styles), "share of the training examples with random labels")
    return figure


def _drawn(table: pd.DataFrame) -> pd.DataFrame:
    return table.dropna(subset=["epoch"]).dropna(subset=[*CURVES], how="all")


def _draw_panel(part: SubFigure, rows: pd.DataFrame, styles: dict[float, _levels.Style]) -> None:
    axes_of = part.subplots(1, len(SHARES), sharex=True, sharey=True)
    for axes, (metric, title) in zip(axes_of, SHARES.items(), strict=True):
        for level, style in styles.items():
            _levels.draw_curve(axes, rows[rows["level"] == level], metric, style)
        axes.set_title(title, weight="bold")
        axes.set_xlabel("epoch")
    axes_of[0].set_ylim(0, 1.03)
    axes_of[0].set_ylabel("falsely labelled examples (%)")
    _style.percent_axis(axes_of[0], "y")
    _style.epoch_axis(axes_of[0], int(rows["epoch"].max()), logarithmic_above=3)
