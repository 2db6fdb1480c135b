"""How little noise can a net be made to fit at no cost on real data, and does a search that learns find out sooner?

Left: settings, several regularizers at once. Across: training accuracy after the last epoch on fully random labels. Pale
points are what a search saw of a suggestion, with one seed: up, the best validation accuracy on real data. Of each sampler's
front, all its studies together, settings were trained again with seeds that chose nothing: large points, up the *test*
accuracy after the last epoch, means with 95 % t-intervals over seeds. So are single regularizers at the strengths of their
grid, in grey, where the store has the experiment ``regularization``; the line is their upper left envelope. How many seeds
are behind either is stated below the axes.

Right: hypervolume, the share of the unit square to the lower right of the suggestions so far, mean over repetitions of the
search with a 95 % t-interval; samplers are compared in pairs of one seed, p as if each were the only one. A suggestion
that diverged adds nothing.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from analysis import _blocks, _frames, _over_seeds, _searches, _settings, _style
from analysis._statistics import upper_left_envelope
from memory_study import identity

SWEEP = "frontier"
BESIDE = ("regularization",)
COLUMNS = (
    *_settings.COLUMNS, "train_accuracy", "best_validation_accuracy", "test_accuracy", "suggested", "sweep",
)  # fmt: skip
CURVES: tuple[str, ...] = ()
CLAIMS: tuple[str, ...] = ()
_TITLE = "The front of all regularizers together"
_COLOURS = {"tpe": ("#0072B2", "o"), "nsga2": ("#009E73", "s"), "random": ("#D55E00", "^")}
_NUMBERS = (
    "number", "repetition", "noise", "real", "test", "hypervolume", "effect", "low", "high", "p", "repetitions",
    *(f"{accuracy}{end}" for accuracy in ("noise", "test") for end in ("_low", "_high", "_seeds")),
)  # fmt: skip


def tabulate(trials: pd.DataFrame, curves: pd.DataFrame) -> pd.DataFrame:
    """A row for each thing that is drawn; ``what`` says which, and so which columns it has. Accuracies are fractions.

    ``suggestion``: ``noise`` and ``real`` as the search saw them. ``front`` and ``single``: ``noise`` and ``test``, means
    over seeds with ``_low``, ``_high`` and ``_seeds``, of settings that judge a sampler's front, and of single regularizers.
    ``progress``: ``hypervolume`` with interval after ``number`` suggestions, over so many ``repetitions``.
    ``comparison``: see :func:`analysis._searches.compared`.
    """
    labelled = _settings.labelled(_frames.with_columns(trials, COLUMNS))
    words = _searches.words(labelled)
    found, volumes = _searches.suggestions(words), _searches.progress(words)
    searched = words[["panel", "search"]].drop_duplicates()
    parts = {
        "suggestion": found,
        "front": _judged(_searches.judging(words)),
        # A search marks its trials round by round: those of the round in training are not single regularizers either.
        "single": _means(labelled[labelled["suggested"].isna() & (labelled["sweep"] != SWEEP)]).merge(
            searched, on="panel"
        ),
        "progress": _progress(volumes),
        "comparison": _searches.compared(volumes),
    }
    table = pd.concat([part.assign(what=what) for what, part in parts.items() if len(part)] or [found])
    table = table.reindex(
        columns=list(dict.fromkeys(["what", *_searches.STUDY, "regularizers", *_NUMBERS, *table.columns]))
    )
    return table.sort_values(
        ["panel", "search", "what", *_searches.STUDY[2:], "number", "regularizers"], ignore_index=True
    )


def _means(trials: pd.DataFrame) -> pd.DataFrame:
    """By setting: final training accuracy on random labels and test accuracy on real data, means over seeds."""
    means = _settings.mean_over_seeds(trials, "randY", "train_accuracy", "noise").join(
        _settings.mean_over_seeds(trials, "real", "test_accuracy", "test"), how="inner"
    )
    return means.dropna(subset=["noise", "test"]).reset_index()


def _judged(rows: pd.DataFrame) -> pd.DataFrame:
    """:func:`_means` of each sampler's front, by search."""
    groups = rows.groupby(["search", "sampler"])
    parts = {key: _means(of_sampler) for key, of_sampler in groups}
    return (
        pd.concat(parts, names=["search", "sampler"]).reset_index(level=[0, 1]) if parts else pd.DataFrame()
    )


def _progress(volumes: pd.DataFrame) -> pd.DataFrame:
    """By search, sampler and number of suggestions: mean hypervolume over repetitions, with its interval."""
    of_seeds = volumes.rename(columns={"repetition": "seed"})
    means = _over_seeds.means(of_seeds, ["panel", "search", "sampler", "number"], "hypervolume")
    short = {"hypervolume_low": "low", "hypervolume_high": "high", "hypervolume_seeds": "repetitions"}
    return means.rename(columns=short).reset_index()


def describe(table: pd.DataFrame) -> str:
    """How many suggestions are drawn, and how the samplers compare."""
    drawn = _of(table, "suggestion")
    told = [_sentence(row) for _, row in _of(table, "comparison").iterrows()]
    samplers = _frames.counted(drawn["sampler"].nunique(), "sampler")
    seeds = _frames.counted(drawn["repetition"].nunique(), "seed")
    return "; ".join([f"{_frames.counted(len(drawn), 'suggestion')} of {samplers} ({seeds})", *told])


def _sentence(row: pd.Series) -> str:
    """How one sampler compares with random search, in hypervolume."""
    effect, low, high = (100 * row[name] for name in ("effect", "low", "high"))
    if np.isnan(low):
        return f"{row['sampler']} − random {effect:+.2f} points of hypervolume, one repetition"
    return (
        f"{row['sampler']} − random {effect:+.2f} [{low:+.2f}, {high:+.2f}] points of hypervolume after "
        f"{row['number']:.0f} suggestions, p = {row['p']:.2g} uncorrected, {row['repetitions']:.0f} pairs"
    ).replace("-", "−")


def _of(table: pd.DataFrame, what: str) -> pd.DataFrame:
    return table[table["what"] == what]


def draw(table: pd.DataFrame) -> Figure:
    """A row for each panel and search: the settings, and how the samplers got on."""
    if _of(table, "suggestion").empty:
        missing = "No suggestion has sound trials on both real data and random labels."
        return _style.nothing_to_draw(_TITLE, missing, f"python -m sweeps.{SWEEP}")
    searches = _of(table, "suggestion")[["panel", "search"]].drop_duplicates().to_numpy().tolist()
    figure = Figure(figsize=(10.0, 4.9 * len(searches) + 0.9))
    parts = figure.subfigures(len(searches), 1, squeeze=False)[:, 0]
    for (panel, search), part in zip(searches, parts, strict=True):
        rows = table[(table["panel"] == panel) & (table["search"] == search)]
        several = sum(panel == other for other, _ in searches) > 1
        repetitions = _frames.seed_range(_of(rows, "progress")["repetitions"])
        title = f"{panel} · {_kinds(rows)} searched with {repetitions}" + (f" · {search}" if several else "")
        _blocks.heading(part, title, _judges(rows))
        left, right = part.subplots(1, 2, width_ratios=(1.75, 1))
        _draw_settings(left, rows)
        _draw_progress(right, rows)
    handles = _handles(table)
    figure.legend(handles=handles, loc="outside lower center", ncols=(len(handles) + 1) // 2)
    return figure


def _kinds(rows: pd.DataFrame) -> str:
    """How many kinds of regularizers were tried."""
    tried = _of(rows, "suggestion")["regularizers"].unique()
    return _frames.counted(len({kind for text in tried for kind in identity.parse_strengths(text)}), "kind")


def _judges(rows: pd.DataFrame) -> list[str]:
    """How many seeds are behind the settings that were trained again, and behind single regularizers."""
    fronts, single = (_frames.seed_range(_counts(_of(rows, what))) for what in ("front", "single"))
    told = {
        "front": f"Large points: fronts, trained again with {fronts.replace(' seed', ' fresh seed')}",
        "single": f"Grey points: single regularizers, {single}",
    }
    return [text for what, text in told.items() if len(_of(rows, what))]


def _counts(rows: pd.DataFrame) -> pd.Series:
    """The number of seeds behind each accuracy, on either kind of labels."""
    counts: pd.Series = pd.concat([rows["noise_seeds"], rows["test_seeds"]])
    return counts


def _look(sampler: str) -> tuple[str, str]:
    return _COLOURS.get(sampler, (_style.INK, "D"))


def _draw_settings(axes: Axes, rows: pd.DataFrame) -> None:
    """What was suggested, single regularizers, and the fronts as fresh seeds and the test set judge them."""
    single, fronts, seen = (_of(rows, what) for what in ("single", "front", "suggestion"))
    for sampler, points in seen.groupby("sampler"):
        colour, marker = _look(str(sampler))
        axes.plot(
            points["noise"],
            points["real"],
            marker,
            color=_style.lighten(colour, 0.65),
            markersize=2.6,
            zorder=2,
        )
    _draw_means(
        axes, single, "o", _style.FAINT, markersize=4.0, markeredgewidth=0.0, elinewidth=0.7, zorder=3
    )
    edge = single[upper_left_envelope(single["noise"], single["test"])].sort_values("noise")
    axes.step(edge["noise"], edge["test"], where="post", color=_style.FAINT, linewidth=1.4, zorder=3)
    for sampler, points in fronts.groupby("sampler"):
        colour, marker = _look(str(sampler))
        _draw_means(axes, points, marker, colour, markersize=6.5, elinewidth=1.0, zorder=5)
    heights = pd.concat([fronts["test"], single["test"], seen["real"]])
    best = float(heights.max())
    floor = best - 2.5 * max(best - float(heights.median()), 0.01)
    axes.set_ylim(floor, best + 0.08 * (best - floor))
    axes.set_xlim(0, 1.01)
    for which in ("x", "y"):
        _style.percent_axis(axes, which)
    below = int((heights < floor).sum())
    axes.set_title(
        f"{_frames.counted(below, 'setting')} lie below" if below else "", color=_style.FAINT, fontsize=9
    )
    axes.set_xlabel("final training accuracy, random labels (%)")
    axes.set_ylabel("accuracy on real data (%)")


def _draw_means(axes: Axes, points: pd.DataFrame, marker: str, colour: str, **style: Any) -> None:
    """Settings with the intervals of both their accuracies."""
    axes.errorbar(
        points["noise"], points["test"], yerr=_style.arms(points, "test"), xerr=_style.arms(points, "noise"),
        fmt=marker, color=colour, ecolor=_style.lighten(colour, 0.4), markeredgecolor="white", **style,
    )  # fmt: skip


def _draw_progress(axes: Axes, rows: pd.DataFrame) -> None:
    """Hypervolume after each number of suggestions, by sampler."""
    progress = _of(rows, "progress")
    for sampler, line in progress.groupby("sampler"):
        colour, _ = _look(str(sampler))
        _style.curve(axes, [line[name] for name in ("number", "hypervolume", "low", "high")], colour)
    heights = progress[progress["number"] > progress["number"].max() / 8]
    low = float(heights[["hypervolume", "low"]].min().min())
    high = float(progress[["hypervolume", "high"]].max().max())
    room = 0.05 * max(high - low, 0.01)
    axes.set_ylim(low - room, high + room)
    _style.percent_axis(axes, "y")
    axes.set_xlim(1, max(float(progress["number"].max()), 2))
    axes.set_xlabel("settings that a search has tried")
    axes.set_ylabel("hypervolume (% of the square)")
    axes.set_title("\n".join(_short(row) for _, row in _of(rows, "comparison").iterrows()), fontsize=9)


def _short(row: pd.Series) -> str:
    """:func:`_sentence`, to stand above narrow axes."""
    effect, low, high = (100 * row[name] for name in ("effect", "low", "high"))
    interval = "" if np.isnan(low) else f"\n[{low:+.1f}, {high:+.1f}], p = {row['p']:.2g} uncorrected"
    return f"{row['sampler']} − random: {effect:+.2f} points{interval}".replace("-", "−")


def _handles(table: pd.DataFrame) -> list[Line2D]:
    handles = []
    for sampler in sorted(_of(table, "suggestion")["sampler"].unique()):
        colour, marker = _look(sampler)
        pale = _style.lighten(colour, 0.65)
        handles += [
            Line2D(
                [],
                [],
                color=pale,
                marker=marker,
                markersize=3,
                linestyle="none",
                label=f"{sampler}: tried (validation)",
            ),
            Line2D(
                [],
                [],
                color=colour,
                marker=marker,
                markersize=6.5,
                linestyle="none",
                label=f"{sampler}: front (test)",
            ),
        ]
    if len(_of(table, "single")):
        handles.append(
            Line2D([], [], color=_style.FAINT, marker="o", markersize=4, label="single regularizers (test)")
        )
    return handles
