"""Does a net come to a sharper minimum on noisier data? (Krueger et al. 2017, figure 3, left)

Sharpness, the largest eigenvalue of the Hessian of the training loss, against the share of the training examples that are
noise, a line for each kind of noise. Left: after the last epoch. Right: after the first evaluated epoch with a training
loss of at most ``sharpness_loss``, because nets fit unequally well at the end, and where the loss vanishes so does its
Hessian; what the losses there were is stated. Geometric means over seeds with a 95 % t-interval of the logarithms. A level
at which a trial diverged is named, not averaged; seeds that never got to the loss are counted, and left out on the right.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure

from analysis import _blocks, _frames, _levels, _noise, _over_seeds, _style

SWEEP = "noise"
COLUMNS = (
    *_noise.COLUMNS, "sharpness", "sharpness_matched", "sharpness_matched_loss", "sharpness_loss",
)  # fmt: skip
CURVES: tuple[str, ...] = ()
CLAIMS = ("C14",)
METRICS = ("sharpness", "sharpness_matched")
_TITLE = "Sharpness of minima against the share of noise"


def tabulate(trials: pd.DataFrame, curves: pd.DataFrame) -> pd.DataFrame:
    """One row per panel, kind of noise and level: ``sharpness`` and ``sharpness_matched`` with intervals and seeds.

    Real data have a row for each kind. ``loss_low`` and ``loss_high``: the range of the training losses at which nets
    were matched, of at most ``sharpness_loss``; ``late``: sound seeds that never got there.
    """
    trials = _noise.by_kind(_frames.with_columns(trials, COLUMNS))
    diverged = trials["diverged"].fillna(0).gt(0)
    trials = trials[trials["sharpness"].notna() | diverged]
    kept = trials[_noise.sound(trials, _noise.KEY)]
    groups = kept.groupby(_noise.KEY)
    losses = groups["sharpness_matched_loss"].agg(["min", "max"]).set_axis(["loss_low", "loss_high"], axis=1)
    measured, matched = (_over_seeds.count(kept, _noise.KEY, kept[metric].notna()) for metric in METRICS)
    parts = [
        _noise.counts(trials, _noise.KEY),
        *(_geometric_means(kept, metric) for metric in METRICS),
        losses,
        (measured - matched).rename("late"),
    ]
    table = pd.concat([*parts, groups["sharpness_loss"].first()], axis=1)
    whole = ["late", *(f"{metric}_seeds" for metric in METRICS)]
    return table.fillna(dict.fromkeys(whole, 0)).astype(dict.fromkeys(whole, int)).reset_index()


def _geometric_means(trials: pd.DataFrame, metric: str) -> pd.DataFrame:
    """By setting: geometric mean over seeds of a positive metric, ``_low``, ``_high`` and ``_seeds``."""
    logs = trials.assign(**{metric: np.log(trials[metric].where(trials[metric] > 0))})
    means = _over_seeds.means(logs, _noise.KEY, metric, within=(-np.inf, np.inf))
    return means.assign(
        **{f"{metric}{end}": np.exp(means[f"{metric}{end}"]) for end in ("", "_low", "_high")}
    )


def describe(table: pd.DataFrame) -> str:
    """How many levels are drawn, with how many seeds."""
    drawn = table.dropna(subset=["sharpness"])
    levels = _frames.counted(len(_noise.levels(drawn)), "level")
    return f"{levels} of noise ({_seeds(drawn).partition(',')[0]})"


def _seeds(rows: pd.DataFrame) -> str:
    return _frames.seed_range(rows["sharpness_seeds"])


def draw(table: pd.DataFrame) -> Figure:
    """A block for each panel: sharpness at the end, and at the matched loss."""
    drawn = table.dropna(subset=["sharpness"])
    if drawn.empty:
        return _style.nothing_to_draw(
            _TITLE, "No sound, finished trials whose sharpness was measured.",
            f"python -m sweeps.{SWEEP} --measures sharpness",
        )  # fmt: skip
    figure, blocks = _blocks.blocks(dict.fromkeys(drawn["panel"], 3.6))
    for panel, part in blocks:
        rows, everything = drawn[drawn["panel"] == panel], table[table["panel"] == panel]
        notes = [*_matches(rows), *_blocks.not_drawn(_noise.diverged_settings(everything))]
        _blocks.heading(part, f"{panel} · {_seeds(rows)}", notes)
        _draw_panel(part, rows)
    handles = [_levels.handle(_levels.OF_KIND[kind], _noise.KINDS[kind]) for kind in _levels.kinds(drawn)]
    _blocks.legend_below(figure, handles, "what is random")
    return figure


def _matches(rows: pd.DataFrame) -> list[str]:
    """How well the losses match, and who never got to such a loss."""
    once = rows[(rows["level"] > 0) | ~rows.duplicated("level")]  # real data are there for each kind
    late = [f"{row['late']} on {_noise.in_prose(row)}" for _, row in once[once["late"] > 0].iterrows()]
    notes = [f"Seeds that never got to that loss, not drawn on the right: {', '.join(late)}"] if late else []
    if rows["loss_low"].notna().any():
        low, high = rows["loss_low"].min(), rows["loss_high"].max()
        notes.insert(0, f"Training losses on the right: {low:.2g} to {high:.2g} nats")
    return notes


def _draw_panel(part: SubFigure, rows: pd.DataFrame) -> None:
    axes_of = part.subplots(1, len(METRICS), sharex=True)
    titles = (
        "after the last epoch",
        f"when training loss is first ≤ {rows['sharpness_loss'].iloc[0]:g} nats",
    )
    for axes, metric, title in zip(axes_of, METRICS, titles, strict=True):
        _draw_lines(axes, rows.dropna(subset=[metric]), metric)
        axes.set_title(title, weight="bold")
        axes.set_xlabel("share of the training examples that are noise (%)")
        axes.set_ylabel("largest eigenvalue of the Hessian\n(nats per squared weight)")
    _style.percent_axis(axes_of[0], "x")


def _draw_lines(axes: Axes, rows: pd.DataFrame, metric: str) -> None:
    if len(rows):
        ends = rows[[f"{metric}_low", metric, f"{metric}_high"]].to_numpy()
        _style.duration_axis(axes, float(np.nanmin(ends)), float(np.nanmax(ends)))
    for place, kind in enumerate(_levels.kinds(rows)):
        line, (colour, marker) = rows[rows["kind"] == kind], _levels.OF_KIND[kind]
        axes.errorbar(
            line["level"] + 0.008 * (place - 0.5), line[metric], _style.arms(line, metric), color=colour,
            elinewidth=1.0, linewidth=1.3, **_levels.marked(marker),
        )  # fmt: skip
