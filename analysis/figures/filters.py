"""Do a CNN's first filters become structured on noise too, unlike their initial state? (Arpit et al. 2017, figure 2)

Above: the first convolution's filters of one seed, before training (those of the net on real data, in its order) and after
training on real data, on random inputs and on random labels, at the highest level of noise there is; the largest norm
first, row by row, at most 64. Each filter is scaled by itself: middle grey is 0. Below: the low-frequency share of the
filters, as :mod:`memory_study.measures.filters` defines it, mean over filters and seeds with a 95 % t-interval, before and
after training. The dotted line is what independent weights have on average. A kind of data on which a trial diverged is
named, not drawn.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.lines import Line2D

from analysis import _blocks, _examples, _frames, _levels, _noise, _over_seeds, _pictures, _style

SWEEP = "noise"
SHARES = ("filter_low_frequency", "filter_low_frequency_initial")
COLUMNS = (*_noise.COLUMNS, *SHARES, "filters", "filters_initial")
CURVES: tuple[str, ...] = ()
CLAIMS = ("C2",)
WHITE = 9 / 25
"""Expected share of independent weights in a 5x5 filter."""
INITIAL = "initial"
_NUMBERS = ["share", "share_low", "share_high", "initial", "initial_low", "initial_high"]
_COLUMNS = ["panel", "kind", "level", *_NUMBERS, "seeds", "diverged", "seed", "filters"]
_TITLE = "Filters of the first convolution, before and after training"


def tabulate(trials: pd.DataFrame, curves: pd.DataFrame) -> pd.DataFrame:
    """One row per panel and ``kind`` of data: "none" is real, then kinds of noise at their highest level, then "initial".

    ``share``: low-frequency share after training, ``initial`` before, with intervals over ``seeds``. ``filters``: those of
    ``seed`` as JSON, [filter][row][column] of numbers or of RGB. Of "initial" there are filters only.
    """
    trials = _noise.by_kind(_frames.with_columns(trials, COLUMNS))
    trials = trials[trials["filters"].notna() | trials["diverged"].fillna(0).gt(0)]
    kept = _noise.real_and_noisiest(trials)
    rows = [row for panel, group in kept.groupby("panel") for row in _rows(str(panel), group)]
    table = pd.DataFrame(rows, columns=_COLUMNS)
    return table[table["panel"].isin(table.loc[table["seeds"] > 0, "panel"])].reset_index(drop=True)


def _rows(panel: str, group: pd.DataFrame) -> Iterator[dict[str, object]]:
    """Of one panel. The seed that is drawn is the lowest that all its kinds of data have."""
    sound = group[_noise.sound(group, ["kind"])]
    seeds = [set(rows["seed"]) for _, rows in sound.groupby("kind")]
    common = set.intersection(*seeds) if seeds else set()
    for kind in _examples.KINDS:
        rows, found = group[group["kind"] == kind], sound[sound["kind"] == kind].sort_values("seed")
        if rows.empty:
            continue
        key = {"panel": panel, "kind": kind, "level": rows["level"].iloc[0]}
        lost = rows.loc[rows["diverged"].fillna(0).gt(0), "seed"].nunique()
        counts = {"seeds": found["seed"].nunique(), "diverged": lost}
        found_there = _numbers(found) | _pictured(found, common, "filters") if len(found) else {}
        yield key | counts | found_there
    real = sound[sound["kind"] == _frames.CONTROL]
    if len(real):
        yield {"panel": panel, "kind": INITIAL, "level": 0.0, "seeds": 0, "diverged": 0} | _pictured(
            real.sort_values("seed"), common, "filters_initial"
        )


def _numbers(rows: pd.DataFrame) -> dict[str, object]:
    """Means over seeds of the shares after and before training, with their intervals, of one kind of data."""
    named = rows.rename(columns=dict(zip(SHARES, ("share", "initial"), strict=True)))
    means = pd.concat([_over_seeds.means(named, ["kind"], name) for name in ("share", "initial")], axis=1)
    numbers = means.reindex(rows["kind"].unique())[_NUMBERS].iloc[0]
    return {str(name): number for name, number in numbers.items()}


def _pictured(rows: pd.DataFrame, common: set[int], array: str) -> dict[str, object]:
    """The filters of one trial, and its seed."""
    chosen = rows[rows["seed"] == (min(common) if common else rows["seed"].iloc[0])].iloc[0]
    return {"seed": chosen["seed"], "filters": _pictures.to_text(chosen[array])}


def describe(table: pd.DataFrame) -> str:
    """Of how many kinds of data filters are drawn, with how many seeds."""
    drawn = table[table["seeds"] > 0]
    return f"filters drawn of {_frames.counted(drawn['kind'].nunique(), 'kind')} of data ({_seeds(drawn)})"


def _seeds(drawn: pd.DataFrame) -> str:
    return _frames.seed_range(drawn["seeds"]).partition(",")[0]


def draw(table: pd.DataFrame) -> Figure:
    """A block for each panel: filters side by side, and their low-frequency shares."""
    drawn = table[table["filters"].notna()]
    if drawn.empty:
        return _style.nothing_to_draw(
            _TITLE, "No sound, finished trials of a CNN whose filters were kept.",
            f"python -m sweeps.{SWEEP} --scale laptop-cnn",
        )  # fmt: skip
    figure, blocks = _blocks.blocks(dict.fromkeys(drawn["panel"], 4.9))
    for panel, part in blocks:
        rows, everything = drawn[drawn["panel"] == panel], table[table["panel"] == panel]
        counted = rows[rows["kind"] != INITIAL]
        lost = [_noise.in_prose(row) for _, row in everything[everything["diverged"] > 0].iterrows()]
        _blocks.heading(part, f"{panel} · {_frames.seed_range(counted['seeds'])}", _blocks.not_drawn(lost))
        above, below = part.subfigures(2, 1, squeeze=False, height_ratios=(1.35, 1))[:, 0]
        _draw_filters(above, rows)
        _draw_shares(below.subplots(), counted)
    handles = [
        Line2D([], [], color=_style.INK, linestyle="none", label=label, **_marker("o", _style.INK, hollow))
        for label, hollow in (("before training", True), ("after training", False))
    ]
    _blocks.legend_below(figure, handles, "low-frequency share of the filters")
    return figure


def _name(row: pd.Series) -> str:
    """What the data are called, with the level of noise where it is not all."""
    if row["kind"] == INITIAL:
        return f"before training (seed {row['seed']:.0f})"
    share = "" if row["level"] in (0, 1) else f" ({100 * row['level']:.4g} %)"
    return _examples.KINDS[row["kind"]] + share


def _draw_filters(part: SubFigure, rows: pd.DataFrame) -> None:
    """A mosaic for each kind of data, the initial state first."""
    ordered = pd.concat([rows[rows["kind"] == INITIAL], rows[rows["kind"] != INITIAL]])
    filters = [_pictures.from_text(text) for text in ordered["filters"]]
    columns = int(np.ceil(np.sqrt(max(map(len, filters)))))
    grid = part.subplots(1, len(ordered), squeeze=False)[0]
    for axes, each, (_, row) in zip(grid, filters, ordered.iterrows(), strict=True):
        _pictures.show(axes, _pictures.mosaic(each, columns))
        axes.set_title(_name(row), loc="center")


def _marker(marker: str, colour: str, hollow: bool) -> dict[str, Any]:
    face = {"markerfacecolor": "white", "markeredgecolor": colour} if hollow else {}
    return _levels.marked(marker, **face)


def _draw_shares(axes: Axes, rows: pd.DataFrame) -> None:
    """A row for each kind of data: share before (hollow) and after training (filled)."""
    axes.axvline(WHITE, color=_style.FAINT, linestyle=":", linewidth=1.2)
    for place, (_, row) in enumerate(rows.iterrows()):
        colour, marker = _levels.OF_KIND[row["kind"]]
        for name, hollow, shift in (("initial", True, 0.12), ("share", False, -0.12)):
            one = pd.DataFrame([row])
            axes.errorbar(
                one[name], [place + shift], xerr=_style.arms(one, name), color=colour, linestyle="none",
                **_marker(marker, colour, hollow),
            )  # fmt: skip
    axes.set_yticks(range(len(rows)), [_name(row) for _, row in rows.iterrows()])
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_xlabel("spectral energy at low frequencies (%)")
    axes.set_xlim(0, 1)
    _style.percent_axis(axes, "x")
