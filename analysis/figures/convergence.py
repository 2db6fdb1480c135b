"""Does noise slow convergence more in narrow nets and on large training sets? (Arpit et al. 2017, figure 6)

Epochs until every training example is right, against the width of the net at one training size (left) and against the
training size at one width (right), a line for each share of noise; a row for each kind of noise, real data (black) in
both. Points are Kaplan-Meier medians over seeds, bars intervals between order statistics, with the coverage that the
title states: see :mod:`analysis._survival`. A half-filled point: some seeds had not converged when training ended. A
hollow one with an arrow, at the last epoch: at least half of them, so that the median is unknown and at least as high.
Levels are set a little apart. A setting in which a trial diverged is named, not drawn.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure

from analysis import _blocks, _frames, _levels, _noise, _style, _survival

SWEEP = "capacity"
COLUMNS = (*_noise.COLUMNS, "convergence_epoch")
CURVES: tuple[str, ...] = ()
CLAIMS = ("C7", "C8", "C9")
VARIED = {"width": "train_size", "train_size": "width"}
"""What is varied in each column of axes, and what is fixed there."""
_KEY = [*_noise.KEY, "model", "varied", "width", "train_size"]
_NUMBERS = ["epochs", "epochs_low", "epochs_high", "coverage", "last_epoch", "seeds", "censored", "diverged"]
_TITLE = "Epochs to convergence, by the share of noise"


def tabulate(trials: pd.DataFrame, curves: pd.DataFrame) -> pd.DataFrame:
    """One row per panel, kind, level, and width (``varied`` is "width") or training size ("train_size").

    ``epochs`` is the median, NaN where unknown, ``_low`` and ``_high`` (infinite: no upper end) its interval, which
    covers it with probability ``coverage``. ``last_epoch`` is where a censored trial ended. ``seeds`` counts the trials,
    ``censored`` and ``diverged`` those among them; a setting with a diverged one has no median. Real data have a row for
    each kind.
    """
    trials = _noise.by_kind(_frames.with_columns(trials, COLUMNS), ignoring=VARIED)
    trials = trials[trials["convergence_epoch"].notna() | trials["diverged"].gt(0)]
    trials = trials.drop_duplicates([*_noise.KEY, *VARIED, "seed"])
    slices = [
        _noise.fixed_at(trials, varied, fixed).assign(varied=varied) for varied, fixed in VARIED.items()
    ]
    settings = pd.concat(slices).groupby(_KEY)
    rows = [dict(zip(_KEY, key, strict=True)) | _numbers(setting) for key, setting in settings]
    return pd.DataFrame(rows, columns=[*_KEY, *_NUMBERS])


def _numbers(setting: pd.DataFrame) -> dict[str, float]:
    """What the trials of one setting say."""
    diverged, observed = int(setting["diverged"].gt(0).sum()), setting["converged"].eq(1)
    found = _survival.UNKNOWN if diverged else _survival.median(setting["convergence_epoch"], observed)
    censored = setting["convergence_epoch"][~observed & ~setting["diverged"].gt(0)]
    values = (found.median, found.low, found.high, found.coverage, censored.max())
    return dict(zip(_NUMBERS, (*values, len(setting), len(censored), diverged), strict=True))


def describe(table: pd.DataFrame) -> str:
    """How many medians are drawn, and how many points stand for unknown ones."""
    drawn = table[table["diverged"] == 0].drop_duplicates(["panel", "level", "kind", *VARIED])
    known = int(drawn["epochs"].notna().sum())
    return f"{_frames.counted(known, 'median')}, {len(drawn) - known} not reached ({_seeds(drawn)})"


def _seeds(rows: pd.DataFrame) -> str:
    return _frames.seed_range(rows["seeds"]).partition(",")[0]


def draw(table: pd.DataFrame) -> Figure:
    """A block for each panel: kinds of noise in rows, against width and against training size in columns."""
    drawn = table[table["diverged"] == 0]
    if drawn.empty:
        return _style.nothing_to_draw(
            _TITLE, "No setting has sound, finished trials.", f"python -m sweeps.{SWEEP}"
        )
    styles = _levels.styles(drawn["level"])
    figure, blocks = _blocks.blocks(_levels.heights(drawn))
    for panel, part in blocks:
        rows, everything = drawn[drawn["panel"] == panel], table[table["panel"] == panel]
        notes = [*_of_censored(rows), *_blocks.not_drawn(_noise.diverged_settings(everything))]
        _blocks.heading(part, f"{panel} · {_seeds(rows)}{_intervals(rows)}", notes)
        _draw_panel(part, everything, styles)
    _blocks.legend_below(figure, _levels.handles(styles), _levels.LEGEND)
    return figure


def _intervals(rows: pd.DataFrame) -> str:
    """The coverage of the intervals, if there are any."""
    percents = 100 * rows["coverage"].dropna()
    return "" if percents.empty else f", {_span(percents)} % intervals of the median"


def _span(values: pd.Series) -> str:
    """``94``, ``75 to 94``."""
    low, high = round(values.min()), round(values.max())
    return f"{low} to {high}" if low < high else f"{low}"


def _of_censored(rows: pd.DataFrame) -> list[str]:
    """What the points with censored seeds mean, of those kinds that there are."""
    unknown, some = rows["epochs"].isna(), (rows["censored"] > 0) & rows["epochs"].notna()
    parts = []
    if some.any():
        parts += ["◐ some seeds not converged when training ended"]
    if unknown.any():
        last = _span(rows.loc[unknown, "last_epoch"])
        parts += [f"○↑ at least half of the seeds not converged: median not reached by epoch {last}"]
    return ["    ".join(parts)] if parts else []


def _filled(marker: str, fill: str, colour: str) -> dict[str, Any]:
    """A marker that is hollow (fill "none") or half filled ("left")."""
    edge = {"markeredgecolor": colour, "markeredgewidth": 1.1, "markerfacecoloralt": "white"}
    return _levels.marked(marker, color=colour, fillstyle=fill, **edge) | (
        {"fillstyle": "full", "markerfacecolor": "white"} if fill == "none" else {}
    )


def _draw_panel(part: SubFigure, rows: pd.DataFrame, styles: dict[float, _levels.Style]) -> None:
    kinds = _levels.kinds(rows)
    grid = part.subplots(len(kinds), 2, sharex="col", sharey=True, squeeze=False)
    heights = rows[["epochs", "epochs_low", "last_epoch"]].to_numpy(dtype=float)
    room = 1.4 if rows["last_epoch"].notna().any() else 1.0  # for arrows
    _style.duration_axis(grid[0, 0], float(np.nanmin(heights)), room * float(np.nanmax(heights)))
    width = _levels.width_label(str(rows["model"].iloc[0]))
    for column, varied in zip(grid.T, VARIED, strict=True):
        of_column = rows[rows["varied"] == varied]
        _style.counts_axis(column[0], of_column[varied])
        for axes, kind in zip(column, kinds, strict=True):
            _draw_lines(axes, of_column[of_column["kind"] == kind], varied, styles)
            axes.set_title(f"{_noise.KINDS[kind]}, {_fixed(of_column)}")
        column[-1].set_xlabel(width if varied == "width" else "training examples")
    part.supylabel("epochs to 100 % training accuracy", fontsize=10)


def _fixed(of_column: pd.DataFrame) -> str:
    """What is fixed in a column of axes."""
    first = of_column.iloc[0]
    return f"{first['train_size']} examples" if first["varied"] == "width" else f"width {first['width']}"


def _draw_lines(axes: Axes, rows: pd.DataFrame, varied: str, styles: dict[float, _levels.Style]) -> None:
    """A line for each level, dotted to where the median is unknown."""
    beside = _levels.dodged(rows[varied], [*styles])
    for level, (colour, marker) in styles.items():
        line = rows[rows["level"] == level]
        x = line[varied] * beside[level]
        shown = line["epochs"].fillna(line["last_epoch"])
        high = line["epochs_high"].replace(np.inf, np.nan).fillna(line["last_epoch"]).fillna(shown)
        axes.vlines(x, line["epochs_low"].fillna(shown), high, color=colour, linewidth=1.0)
        axes.plot(x, shown, color=colour, linewidth=1.0, linestyle=(0, (1, 2)))
        axes.plot(x, line["epochs"], color=colour, linewidth=1.3)
        fill = np.select([line["epochs"].isna(), line["censored"] > 0], ["none", "left"], "full")
        for kind in ("full", "left", "none"):
            style = _levels.marked(marker, color=colour) if kind == "full" else _filled(marker, kind, colour)
            axes.plot(x[fill == kind], shown[fill == kind], linestyle="none", **style)
        for place in np.flatnonzero(shown.notna() & (line["epochs"].isna() | np.isinf(line["epochs_high"]))):
            axes.annotate(
                "", (x.iloc[place], high.iloc[place]), (0, 13), textcoords="offset points",
                arrowprops={"arrowstyle": "<-", "color": colour, "linewidth": 1.0, "shrinkA": 0, "shrinkB": 3},
            )  # fmt: skip
