"""Which training examples can be dropped, and by which score are they found? (a question after Arpit et al. 2017)

Accuracy against the share of the training examples that is dropped, a line for each score; the lowest scores are dropped on
the left, the highest on the right. Test accuracy after the last epoch, and the best validation accuracy, on clean labels and
where some labels were drawn anew. Black is what to beat: dropping by lot. Each line starts from the trials that drop
nothing. Means over seeds with a 95 % t-interval; a score and share at which a trial or its first training diverged is
named, not averaged. Below: how well each score tells false labels from true ones (area under the ROC curve; by lot it
is 0.5).
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure

from analysis import _blocks, _frames, _levels, _noise, _over_seeds, _pruning, _style

SWEEP = "pruning"
METRICS = {"test_accuracy": "test", "best_validation_accuracy": "best validation"}
COLUMNS = (*_pruning.COLUMNS, *METRICS, "flipped_auroc")
CURVES: tuple[str, ...] = ()
CLAIMS = ("C16",)
_TITLE = "Accuracy without the examples that a score drops"
_STYLES = {
    "loss_sensitivity": ("#D55E00", "P"), "input_gradient": ("#E69F00", "D"), "loss": ("#0072B2", "o"),
    "el2n": ("#56B4E9", "s"), "forgetting": ("#009E73", "^"), _pruning.LOT: ("#000000", "*"),
}  # fmt: skip
_AUROC = "flipped_auroc"
_HEIGHT = 2.2
"""Inches of a row of axes."""


def tabulate(trials: pd.DataFrame, curves: pd.DataFrame) -> pd.DataFrame:
    """One row per panel, data, score, end and share: accuracies (fractions) with intervals and seeds, ``diverged`` trials.

    ``flipped_auroc`` with its interval is that of the score, whatever is dropped: the mean over what was, by seed.
    """
    ways = _pruning.ways(_frames.with_columns(trials, COLUMNS))
    kept = ways[_noise.sound(ways, _pruning.KEY)]
    diverged = ways.groupby(_pruning.KEY)["diverged"].sum().astype(int)
    table = pd.concat(
        [diverged, *(_over_seeds.means(kept, _pruning.KEY, metric) for metric in METRICS)], axis=1
    )
    aurocs = _over_seeds.means(ways[~ways["diverged"]], ["panel", "data", "score"], _AUROC)
    seeds = [f"{metric}_seeds" for metric in METRICS]
    table = table.fillna(dict.fromkeys(seeds, 0)).astype(dict.fromkeys(seeds, int)).reset_index()
    return table.join(aurocs.drop(columns=f"{_AUROC}_seeds"), on=["panel", "data", "score"])


def describe(table: pd.DataFrame) -> str:
    """How many scores and shares are drawn, with how many seeds."""
    drawn = table.dropna(subset=["test_accuracy"])
    shares = _frames.counted(drawn.loc[drawn["share"] > 0, "share"].nunique(), "share")
    return f"{_frames.counted(drawn['score'].nunique(), 'score')} at {shares} ({_seeds(drawn).partition(',')[0]})"


def _seeds(rows: pd.DataFrame) -> str:
    return _frames.seed_range(rows["test_accuracy_seeds"])


def draw(table: pd.DataFrame) -> Figure:
    """A block for each panel: accuracies by data and metric in rows, ends in columns, and the scores' AUROC below."""
    drawn = table.dropna(subset=["test_accuracy"])
    if drawn.empty:
        return _style.nothing_to_draw(
            _TITLE, "No sound, finished trials that drop examples.", f"python -m sweeps.{SWEEP}"
        )
    figure, blocks = _blocks.blocks({str(panel): _height(rows) for panel, rows in drawn.groupby("panel")})
    for panel, part in blocks:
        rows, everything = drawn[drawn["panel"] == panel], table[table["panel"] == panel]
        _blocks.heading(part, f"{panel} · {_seeds(rows)}", _blocks.not_drawn(_diverged(everything)))
        _draw_panel(part, rows)
    handles = [_levels.handle(_style_of(name), _name(name)) for name in _pruning.scores(drawn)]
    _blocks.legend_below(figure, handles, "score by which examples are dropped")
    return figure


def _height(rows: pd.DataFrame) -> float:
    """Inches."""
    return _HEIGHT * len(METRICS) * rows["data"].nunique() + _bars(rows.dropna(subset=[_AUROC])) + 0.6


def _bars(rows: pd.DataFrame) -> float:
    """Inches of a bar for each score, where there is any."""
    bars = rows.groupby("data")["score"].nunique().sum()
    return 0.28 * bars + 0.9 if bars else 0.0


def _style_of(score: str) -> tuple[str, str]:
    return _STYLES.get(score, (_style.FAINT, "X"))


def _name(score: str) -> str:
    return {_pruning.LOT: "by lot", "el2n": "EL2N"}.get(score, _frames.pretty(score))


def _diverged(rows: pd.DataFrame) -> list[str]:
    lost = rows[rows["diverged"] > 0]
    return [
        f"{row['data']}, {100 * row['share']:.4g} % {row['end']} {_name(row['score'])}"
        for _, row in lost.iterrows()
    ]


def _draw_panel(part: SubFigure, rows: pd.DataFrame) -> None:
    data, scored = sorted(rows["data"].unique(), reverse=True), rows.dropna(subset=[_AUROC])
    rows_of_axes = len(METRICS) * len(data)
    parts = part.subfigures(2, 1, height_ratios=[_HEIGHT * rows_of_axes, _bars(scored)], squeeze=False)[:, 0]
    above = parts[0] if len(scored) else part
    grid = above.subplots(rows_of_axes, len(_pruning.ENDS), sharex=True, sharey="row", squeeze=False)
    for place, axes_of in enumerate(grid):
        of_data, metric = data[place // len(METRICS)], [*METRICS][place % len(METRICS)]
        for axes, (end, what) in zip(axes_of, _pruning.ENDS.items(), strict=True):
            _draw_lines(axes, rows[(rows["data"] == of_data) & (rows["end"] == end)], metric)
            if metric == "test_accuracy":
                axes.set_title(f"{of_data}, {what} dropped", weight="bold")
        axes_of[0].set_ylabel(f"{METRICS[metric]}\naccuracy (%)")
        _style.percent_axis(axes_of[0], "y")
    for axes in grid[-1]:
        axes.set_xlabel("share of the training examples that is dropped (%)")
    _style.percent_axis(grid[-1, 0], "x")
    if len(scored):
        _draw_aurocs(parts[1].subplots(), scored)


def _draw_lines(axes: Axes, rows: pd.DataFrame, metric: str) -> None:
    names = _pruning.scores(rows)
    for place, name in enumerate(names):
        line, (colour, marker) = rows[rows["score"] == name], _style_of(name)
        # Set a little apart, so that intervals do not hide each other; all start from the same trials.
        beside = np.where(line["share"] > 0, 0.005 * (place - (len(names) - 1) / 2), 0.0)
        axes.errorbar(
            line["share"] + beside, line[metric], _style.arms(line, metric), color=colour, elinewidth=0.9,
            linewidth=1.2, zorder=3 if name == _pruning.LOT else 2, **_levels.marked(marker),
        )  # fmt: skip


def _draw_aurocs(axes: Axes, rows: pd.DataFrame) -> None:
    bars = rows.drop_duplicates(["data", "score"]).sort_values(["data", _AUROC])
    labels = [_name(name) for name in bars["score"]]
    if bars["data"].nunique() > 1:
        labels = [f"{label}, {data}" for label, data in zip(labels, bars["data"], strict=True)]
    axes.barh(
        np.arange(len(bars)), bars[_AUROC], xerr=_style.arms(bars, _AUROC), height=0.7,
        color=[_style.lighten(_style_of(name)[0], 0.35) for name in bars["score"]],
        error_kw={"elinewidth": 1.0, "ecolor": _style.INK},
    )  # fmt: skip
    axes.axvline(0.5, color=_style.FAINT, linewidth=1.0)
    axes.set_yticks(np.arange(len(bars)), labels)
    axes.grid(False, axis="y")
    axes.set_xlim(0, 1)
    axes.set_title("finding false labels", weight="bold")
    axes.set_xlabel("AUROC of the score (0.5 by lot)")
