"""Do regularizers slow learning alike on real data and on random labels? (Arpit et al. 2017, figure 11)

Training accuracy by epoch, on real data (left) and on fully random labels (right), a row for each regularizer
at three strengths: those whose final accuracy on random labels comes nearest to 75, 50 and 25 %, so that rows
compare strengths of like effect on noise. Mean over seeds with a 95 % t-interval; the net without regularizer
is black in every row.

Claim C13, declared before looking: *training curves order differently on random and on real labels.* The test
is in :mod:`analysis.claims.c13`.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis import _frames, _over_seeds, _settings, _style
from analysis.claims import c13

SWEEP = "regularization"
COLUMNS = (*_settings.COLUMNS, "train_accuracy")
CURVES = ("train_accuracy",)
CLAIMS = ("C13",)
MATCHED = (0.75, 0.5, 0.25)
"""Final accuracies on random labels at which strengths are shown: weak, medium, strong."""
_TITLE = "Training accuracy by epoch, on real data and on random labels"
_SHADES = (0.45, 0.2, 0.0)  # how much white is mixed into the colour: weak, medium, strong
_DASHES: tuple[Dashes, ...] = ((0, (1, 1.2)), (0, (4, 1.5)), "-")
Colour = str | tuple[float, float, float]
Dashes = str | tuple[int, tuple[float, ...]]
_SIDES = {"real": "real labels", "randY": "random labels"}


def tabulate(trials: pd.DataFrame, curves: pd.DataFrame) -> pd.DataFrame:
    """One row per setting, side (real or randY) and epoch: ``accuracy`` with interval, ``seeds``,
    ``shown``.

    ``shown`` is 0 for a setting that is not drawn, 1 to 3 from weak to strong, and 1 for the control. A
    setting in which a trial diverged has no rows.
    """
    trials = _settings.labelled(_frames.with_columns(trials, COLUMNS))
    by_epoch = c13.accuracy_by_epoch(trials, curves)
    points = (
        by_epoch.rename_axis(index="trial")
        .reset_index()
        .melt("trial", var_name="epoch", value_name="accuracy")
        .dropna()
    )
    points = points.join(trials[[*_settings.KEY, "side", "seed"]], on="trial")
    table = _over_seeds.means(points, [*_settings.KEY, "side", "epoch"], "accuracy")
    table = table.rename(columns={"accuracy_seeds": "seeds"}).reset_index()
    names = _settings.names(trials).reset_index()
    table = names.merge(table, on=_settings.KEY).merge(_shown(table, names), on=_settings.KEY)
    order = {kind: place for place, kind in enumerate(_style.regularizer_order(table["regularizer"]))}
    keys = ["panel", "_order", *_frames.strength_columns(table), "side", "epoch"]
    table = table.assign(_order=table["regularizer"].map(order)).sort_values(keys)
    return table.drop(columns="_order").reset_index(drop=True)


def _shown(table: pd.DataFrame, names: pd.DataFrame) -> pd.DataFrame:
    """Which settings are drawn: columns panel, regularizers, shown."""
    last = table.sort_values("epoch").drop_duplicates([*_settings.KEY, "side"], keep="last")
    final = last[last["side"] == "randY"].set_index(_settings.KEY)["accuracy"].rename("final")
    settings = (
        last[_settings.KEY].drop_duplicates().merge(names, on=_settings.KEY).join(final, on=_settings.KEY)
    )
    settings = settings.assign(shown=0)
    for (_, kind), group in settings.groupby(["panel", "regularizer"]):
        if kind == _frames.CONTROL:
            settings.loc[group.index, "shown"] = 1
            continue
        group = group.sort_values(_frames.strength_columns(group))
        if group["final"].notna().any():
            places = [int(np.nanargmin((group["final"] - target).abs())) for target in MATCHED]
        else:
            places = [round(share * (len(group) - 1)) for share in (0.0, 0.5, 1.0)]
        for rank, place in enumerate(places, start=1):
            settings.loc[group.index[place], "shown"] = rank
    return settings[[*_settings.KEY, "shown"]]


def describe(table: pd.DataFrame) -> str:
    """How many settings have curves, and how many of them are drawn."""
    settings = table.drop_duplicates(_settings.KEY)
    return f"{int((settings['shown'] > 0).sum())} of {len(settings)} settings with curves"


def draw(table: pd.DataFrame) -> Figure:
    """A row for each regularizer and two columns for each panel. One control alone gives one row."""
    if table.empty:
        return _style.nothing_to_draw(
            _TITLE, "No finished trial has training curves.", f"python -m sweeps.{SWEEP}"
        )
    panels = list(table["panel"].unique())
    ordered = _style.regularizer_order(table["regularizer"])
    rows = [kind for kind in ordered if kind != _frames.CONTROL] or ordered
    styles = _style.colours_and_markers(ordered)
    figure = Figure(figsize=(8.6 * len(panels), 1.75 * len(rows) + 1.1))
    parts = figure.subfigures(1, len(panels), squeeze=False)[0]
    for panel, part in zip(panels, parts, strict=True):
        of_panel = table[table["panel"] == panel]
        seeds = _frames.seed_range(of_panel["seeds"])
        part.suptitle(f"{panel} · {seeds}", x=0.02, ha="left", fontsize=11, weight="bold")
        grid = part.subplots(len(rows), 2, sharex=True, sharey=True, squeeze=False)
        for kind, pair in zip(rows, grid, strict=True):
            _draw_row(pair, of_panel, kind, styles[kind][0])
        for side, axes in zip(_SIDES.values(), grid[0], strict=True):
            axes.annotate(
                side, (0.5, 1), (0, 20), "axes fraction", "offset points", ha="center", weight="bold"
            )
        for axes in grid[-1]:
            axes.set_xlabel("epoch")
        _style.epoch_axis(grid[0, 0], int(of_panel["epoch"].max()))
        part.supylabel("training accuracy (%)", fontsize=10)
    return figure


def _draw_row(pair: np.ndarray, table: pd.DataFrame, kind: str, colour: str) -> None:
    """One regularizer on real and on random labels, with the control in black."""
    pair[0].set_title(_frames.pretty(kind), color=colour, weight="bold")
    for side, axes in zip(_SIDES, pair, strict=True):
        rows = table[(table["side"] == side) & (table["shown"] > 0)]
        axes.set_ylim(0, 1.02)
        axes.set_yticks([0, 0.25, 0.5, 0.75, 1])
        _style.percent_axis(axes, "y")
        _draw_curves(axes, rows[rows["regularizer"] == _frames.CONTROL], "black", "none")
        if kind == _frames.CONTROL:
            continue
        for shown, curve in rows[rows["regularizer"] == kind].groupby("shown"):
            shade = _style.lighten(colour, _SHADES[int(str(shown)) - 1])
            _draw_curves(axes, curve, shade, _label(curve), _DASHES[int(str(shown)) - 1])
    handles = {
        text: line for axes in pair for line, text in zip(*axes.get_legend_handles_labels(), strict=True)
    }
    pair[1].legend(
        handles.values(),
        handles.keys(),
        loc="center left",
        bbox_to_anchor=(1.0, 0.5),
        handlelength=2.2,
        fontsize=8.5,
    )


def _draw_curves(axes: Axes, rows: pd.DataFrame, colour: Colour, label: str, dashes: Dashes = "-") -> None:
    if rows.empty:
        return
    axes.plot(rows["epoch"], rows["accuracy"], color=colour, linestyle=dashes, linewidth=1.5, label=label)
    axes.fill_between(
        rows["epoch"], rows["accuracy_low"], rows["accuracy_high"], color=colour, alpha=0.18, linewidth=0
    )


def _label(curve: pd.DataFrame) -> str:
    """The strength of a single kind; of a combination, every kind's, a line each."""
    if pd.notna(strength := curve["strength"].iloc[0]):
        return f"{strength:g}"
    return _frames.describe_strengths(str(curve["regularizers"].iloc[0])).replace(" + ", "\n")
