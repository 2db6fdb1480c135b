"""Which regularizers keep a net from fitting noise at no cost on real data? (Arpit et al. 2017, figure 10)

Each point is a setting: one regularizer at one strength, on one net and data set. Across: training accuracy
after the last epoch on fully random labels (noise fitted). Up: the best validation accuracy after any epoch
on real data. Both are means over seeds with a 95 % t-interval. The net without regularizer is the strength-0
end of every regularizer. A setting in which a trial diverged is named, not averaged.

Claim C12, declared before looking: *regularizers differ in how far they cap noise fitting at no cost on real
data, and dropout, with or without adversarial training, is best.* The test is in :mod:`analysis.claims.c12`.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.lines import Line2D

from analysis import _frames, _settings, _style
from analysis._statistics import upper_left_envelope
from analysis.claims import c12
from analysis.claims._finding import SEEDS_NEEDED

SWEEP = "regularization"
COLUMNS = (*_settings.COLUMNS, "train_accuracy", "best_validation_accuracy", "converged")
CURVES: tuple[str, ...] = ()
CLAIMS = ("C12",)
NOISE, REAL = "random_train_accuracy", "real_validation_accuracy"
_LEGEND_COLUMNS = 4
_TITLE = "Validation accuracy on real data against fitting of random labels"


def tabulate(trials: pd.DataFrame, curves: pd.DataFrame) -> pd.DataFrame:
    """One row per setting, sorted by panel, regularizer and strengths. Accuracies and losses are fractions.

    Besides the two accuracies with intervals and seeds: ``diverged_real``, ``diverged_random`` and
    ``censored_random`` (trials that never fitted all random labels); ``on_envelope``: no setting of the same
    regularizer, the control included, is better in both; ``loss*``: of the regularizer, and ``claim``:
    what the test of C12 says of the panel, see :mod:`analysis.claims.c12`.
    """
    trials = _settings.labelled(_frames.with_columns(trials, COLUMNS))
    diverged, unfitted = trials["diverged"].fillna(0).gt(0), trials["converged"].eq(0)
    counts = {
        "diverged_real": _settings.count(trials, "real", diverged),
        "diverged_random": _settings.count(trials, "randY", diverged),
        "censored_random": _settings.count(trials, "randY", unfitted),
    }
    table = _settings.names(trials).join(
        [
            _settings.mean_over_seeds(trials, "randY", "train_accuracy", NOISE),
            _settings.mean_over_seeds(trials, "real", "best_validation_accuracy", REAL),
        ]
    )
    whole = [*counts, f"{NOISE}_seeds", f"{REAL}_seeds"]
    table = (
        table.assign(**counts).fillna(dict.fromkeys(whole, 0)).astype(dict.fromkeys(whole, int)).reset_index()
    )
    table["on_envelope"] = _on_envelope(table)
    table = table.join(c12.losses_by_regularizer(trials), on=["panel", "regularizer"])
    table["claim"] = table["panel"].map(c12.outcomes(trials)).astype("str")
    order = {kind: place for place, kind in enumerate(_style.regularizer_order(table["regularizer"]))}
    strengths = _frames.strength_columns(table)
    return (
        table.assign(_order=table["regularizer"].map(order))
        .sort_values(["panel", "_order", *strengths])
        .drop(columns="_order")
        .reset_index(drop=True)
    )


def _on_envelope(table: pd.DataFrame) -> pd.Series:
    on = pd.Series(False, index=table.index)
    for (_, kind), rows in table.groupby(["panel", "regularizer"]):
        control = _control(table[table["panel"] == rows["panel"].iloc[0]])
        both = rows if kind == _frames.CONTROL else pd.concat([rows, control])
        on[both.index[upper_left_envelope(both[NOISE], both[REAL])]] |= True
    return on


def _control(rows: pd.DataFrame) -> pd.DataFrame:
    return rows[rows["regularizer"] == _frames.CONTROL]


def describe(table: pd.DataFrame) -> str:
    """How many settings are drawn, of how many regularizers, with how many seeds."""
    drawn = table.dropna(subset=[NOISE, REAL])
    kinds = drawn["regularizer"][drawn["regularizer"] != _frames.CONTROL].nunique()
    seeds = _seeds(drawn).partition(",")[0]
    return f"{_frames.counted(len(drawn), 'setting')} of {_frames.counted(kinds, 'regularizer')} ({seeds})"


def _seeds(rows: pd.DataFrame) -> str:
    return _frames.seed_range(pd.concat([rows[f"{NOISE}_seeds"], rows[f"{REAL}_seeds"]]))


def draw(table: pd.DataFrame) -> Figure:
    """A row for each panel: the settings with each regularizer's envelope, and the losses at the cap."""
    drawn = table.dropna(subset=[NOISE, REAL])
    if drawn.empty:
        missing = (
            "No setting has finished trials on real data and on random labels"
            if table.empty
            else "No setting has sound trials on both real data and random labels"
        )
        return _style.nothing_to_draw(_TITLE, f"{missing}.", f"python -m sweeps.{SWEEP}")
    names = drawn["panel"].unique()
    styles = _style.colours_and_markers(drawn["regularizer"])
    # Room for the numbers of each regularizer beside its loss, and for the rows of the legend.
    panel_inches = 5.6 + 0.5 * max(0, len(styles) - 8)
    legend_inches = 0.2 + 0.25 * -(-len(styles) // _LEGEND_COLUMNS)
    figure = Figure(figsize=(10.0, panel_inches * len(names) + legend_inches))
    parts = figure.subfigures(len(names), 1, squeeze=False)[:, 0]
    for name, part in zip(names, parts, strict=True):
        rows = drawn[drawn["panel"] == name]
        left, right = part.subfigures(1, 2, width_ratios=(2.15, 1))
        part.suptitle(f"{name} · {_seeds(rows)}", x=0.02, ha="left", fontsize=11, weight="bold")
        part.text(0.98, 0.98, rows["claim"].iloc[0], ha="right", va="top", fontsize=9.5)
        _draw_settings(left, rows, styles)
        _draw_losses(right.subplots(), table[table["panel"] == name], styles)
    handles = [
        Line2D(
            [], [], color=colour, marker=marker, markersize=_style.marker_size(marker),
            markeredgecolor="white", label=_frames.pretty(kind),
            linestyle="none" if kind == _frames.CONTROL else "-",
        )
        for kind, (colour, marker) in styles.items()
    ]  # fmt: skip
    figure.legend(handles=handles, loc="outside lower center", ncols=_LEGEND_COLUMNS)
    return figure


def _draw_settings(part: SubFigure, rows: pd.DataFrame, styles: dict[str, tuple[str, str]]) -> None:
    """The settings; those far below the interesting range in a strip of their own: none is left out."""
    floor = _interesting_from(rows[REAL])
    below = rows[REAL] < floor
    grid = part.subplots(
        2 if below.any() else 1, 1, sharex=True, squeeze=False, height_ratios=(4, 1)[: 1 + below.any()]
    )
    for axes, inside in zip(grid[:, 0], (~below, below), strict=False):
        for kind, group in rows.groupby("regularizer"):
            _draw_points(axes, group[inside[group.index]], *styles[str(kind)])
            if kind != _frames.CONTROL:
                _draw_lines(axes, group, _control(rows), styles[str(kind)][0])
        axes.axvline(c12.CAP, color=_style.FAINT, linewidth=1, linestyle=(0, (4, 3)), zorder=1)
        _style.percent_axis(axes, "x")
        _style.percent_axis(axes, "y")
    main, last = grid[0, 0], grid[-1, 0]
    best, highest = float(rows[REAL].max()), float(np.nanmax([*rows[f"{REAL}_high"], *rows[REAL]]))
    main.set_ylim(floor, min(highest, best + 0.35 * (best - floor)) + 0.05 * (best - floor))
    main.annotate(
        f"cap {c12.CAP:.0%}", (c12.CAP, 1), (0, 3), ("data", "axes fraction"), "offset points",
        ha="center", color=_style.FAINT, fontsize=8.5,
    )  # fmt: skip
    main.set_xlim(-0.01, 1.01)
    main.set_ylabel("best validation accuracy, real data (%)")
    if below.any():
        lowest = float(rows[REAL].min())
        last.set_ylim(lowest - 0.15 * (floor - lowest), floor)
        last.set_ylabel("below (%)", color=_style.FAINT)
        main.tick_params(bottom=False)
    last.set_xlabel("final training accuracy, random labels (%)")


def _interesting_from(accuracies: pd.Series) -> float:
    """Where the strip below begins: as far below the median as the best is above it, and half as far again.

    Most settings crowd near the top, a few strong ones fall to chance: one linear axis would show neither.
    """
    best, median = float(accuracies.max()), float(accuracies.median())
    floor = np.floor(100 * (best - 2.5 * max(best - median, 0.01))) / 100
    return float(floor) if accuracies.min() < floor else float(accuracies.min()) - 0.01


def _draw_points(axes: Axes, rows: pd.DataFrame, colour: str, marker: str) -> None:
    """The settings with their intervals; those that another one beats are pale."""
    for on, group in rows.groupby("on_envelope"):
        pale = not on and marker != "*"
        spread = [
            np.nan_to_num([group[name] - group[f"{name}_low"], group[f"{name}_high"] - group[name]])
            for name in (NOISE, REAL)
        ]
        axes.errorbar(
            group[NOISE], group[REAL], xerr=spread[0], yerr=spread[1], fmt="none",
            ecolor=_style.lighten(colour, 0.75 if pale else 0.45), elinewidth=0.8, zorder=2,
        )  # fmt: skip
        axes.plot(
            group[NOISE], group[REAL], marker, color=_style.lighten(colour, 0.55) if pale else colour,
            markersize=_style.marker_size(marker), markeredgecolor="white", markeredgewidth=0.6,
            zorder=4 if pale else 5,
        )  # fmt: skip


def _draw_lines(axes: Axes, rows: pd.DataFrame, control: pd.DataFrame, colour: str) -> None:
    """A faint path in order of strength, and the envelope as a step."""
    for path in _paths(rows):
        axes.plot(path[NOISE], path[REAL], color=_style.lighten(colour, 0.6), linewidth=0.8, zorder=3)
    both = pd.concat([rows, control])
    edge = both[upper_left_envelope(both[NOISE], both[REAL])].sort_values(NOISE)
    axes.step(edge[NOISE], edge[REAL], where="post", color=colour, linewidth=1.4, zorder=3.5)


def _paths(rows: pd.DataFrame) -> list[pd.DataFrame]:
    """Settings to join, in order of strength; of a combination, those that share the first strength."""
    columns = [name for name in _frames.strength_columns(rows) if (rows[name] != 0).any()]
    rows = rows.sort_values(columns)
    if len(columns) < 2:
        return [rows]
    return [group for _, group in rows.groupby(columns[0])]


def _draw_losses(axes: Axes, rows: pd.DataFrame, styles: dict[str, tuple[str, str]]) -> None:
    """The loss of clean accuracy at the cap with its interval, best regularizer on top."""
    losses = rows.dropna(subset=["loss"]).drop_duplicates("regularizer").sort_values("loss", ascending=False)
    axes.set_title(f"Clean accuracy lost\nat the {c12.CAP:.0%} cap")
    if losses.empty:
        axes.set_axis_off()
        axes.text(
            0,
            0.96,
            f"needs {SEEDS_NEEDED} seeds, the net without\nregularizer, and a setting\nat the cap",
            va="top",
        )
    else:
        _draw_intervals(axes, losses, styles)
    if notes := _notes(rows):
        axes.annotate(
            notes,
            (0, 0),
            (0, -42),
            "axes fraction",
            "offset points",
            va="top",
            color=_style.FAINT,
            fontsize=8.5,
        )


def _draw_intervals(axes: Axes, losses: pd.DataFrame, styles: dict[str, tuple[str, str]]) -> None:
    """An interval for each row of ``losses``, from the bottom up, its numbers in the label."""
    labels = []
    for place, (kind, *points) in enumerate(
        zip(losses["regularizer"], *(100 * losses[c] for c in ("loss", "loss_low", "loss_high")), strict=True)
    ):
        colour, marker = styles.get(kind, (_style.INK, "o"))
        axes.plot(points[1:], [place, place], color=colour, linewidth=2)
        axes.plot(points[0], place, marker, color=colour, markersize=8, markeredgecolor="white")
        name = _frames.pretty(kind).replace(" + ", " +\n")
        labels.append("{}\n{:.1f} [{:.1f}, {:.1f}]".format(name, *points).replace("-", "−"))
    axes.set_yticks(range(len(losses)), labels)
    axes.set_ylim(-0.6, len(losses) - 0.4)
    axes.set_xlabel("percentage points lost")
    axes.axvline(0, color=_style.FAINT, linewidth=1)
    axes.grid(axis="y", visible=False)


def _notes(rows: pd.DataFrame) -> str:
    """Name what is not drawn: regularizers that never reach the cap, settings in which a trial diverged."""
    kinds = rows.drop_duplicates("regularizer")
    unreached = kinds["regularizer"][kinds["loss"].isna() & (kinds["regularizer"] != _frames.CONTROL)]
    diverged = rows["regularizers"][(rows["diverged_real"] + rows["diverged_random"]) > 0]
    notes = []
    if kinds["loss"].notna().any() and len(unreached):
        notes += ["Never at the cap:", *(f"  {_frames.pretty(kind)}" for kind in unreached)]
    if len(diverged):
        notes += ["Diverged, not drawn:", *(f"  {_frames.describe_strengths(text)}" for text in diverged[:4])]
        notes += [f"  and {len(diverged) - 4} more"] if len(diverged) > 4 else []
    return "\n".join(notes)
