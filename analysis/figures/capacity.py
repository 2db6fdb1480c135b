"""Does a noisier training set need more capacity for the best validation accuracy? (Arpit et al. 2017, figure 5)

Validation accuracy against the width of the net, a line for each share of noise: in the upper axes the best after any
epoch that was validated, in the lower ones that after the last epoch. Random inputs are on the left, random labels on
the right; real data (black) are in both. Means over seeds with a 95 % t-interval; levels are set a little apart so that
intervals do not hide each other. Validation data are never noisy. Nets trained on nothing but noise guess at every
width: their accuracies are stated, not drawn, so that the others' differences show. Each axes has a scale of its own. Of
several training sizes, the largest at which several widths were trained. A width and level at which a trial
diverged is named, not averaged.
"""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure

from analysis import _blocks, _frames, _levels, _noise, _over_seeds, _style

SWEEP = "capacity"
COLUMNS = (*_noise.COLUMNS, "best_validation_accuracy", "validation_accuracy")
CURVES: tuple[str, ...] = ()
CLAIMS = ("C6",)
MEASURES = {"best_validation_accuracy": "best", "validation_accuracy": "final"}
"""What the rows of axes show, and what they call it."""
_KEY = [*_noise.KEY, "model", "train_size", "width"]
_TITLE = "Validation accuracy against width, by the share of noise"


def tabulate(trials: pd.DataFrame, curves: pd.DataFrame) -> pd.DataFrame:
    """One row per panel, kind of noise, level and width: both accuracies with intervals and seeds.

    Real data have a row for each kind. ``diverged`` and ``censored`` count trials; accuracies are fractions, NaN
    where a trial diverged.
    """
    trials = _noise.by_kind(_frames.with_columns(trials, COLUMNS), ignoring=("width", "train_size"))
    trials = _noise.fixed_at(trials, varied="width", fixed="train_size")
    kept = trials[_noise.sound(trials, _KEY)]
    means = [_over_seeds.means(kept, _KEY, measure) for measure in MEASURES]
    table = pd.concat([_noise.counts(trials, _KEY), *means], axis=1)
    seeds = [f"{measure}_seeds" for measure in MEASURES]
    return table.fillna(dict.fromkeys(seeds, 0)).astype(dict.fromkeys(seeds, int)).reset_index()


def describe(table: pd.DataFrame) -> str:
    """How many levels and widths are drawn, with how many seeds."""
    drawn = table.dropna(subset=["best_validation_accuracy"])
    levels = _frames.counted(len(_noise.levels(drawn)), "level")
    return f"{levels} of noise at {_frames.counted(drawn['width'].nunique(), 'width')} ({_seeds(drawn).partition(',')[0]})"


def _seeds(rows: pd.DataFrame) -> str:
    return _frames.seed_range(rows["best_validation_accuracy_seeds"])


def draw(table: pd.DataFrame) -> Figure:
    """A block for each panel: best and final accuracy in rows, kinds of noise in columns."""
    drawn = table.dropna(subset=["best_validation_accuracy"])
    if drawn.empty:
        return _style.nothing_to_draw(
            _TITLE, "No setting has sound, finished trials.", f"python -m sweeps.{SWEEP}"
        )
    styles = _levels.styles(_legible(drawn)["level"])
    figure, blocks = _blocks.blocks(dict.fromkeys(drawn["panel"], 5.6))
    for panel, part in blocks:
        rows = drawn[drawn["panel"] == panel]
        size = f"{rows['train_size'].iloc[0]:.0f} examples"
        everything = table[table["panel"] == panel]
        notes = [*_guesses(rows), *_blocks.not_drawn(_noise.diverged_settings(everything))]
        _blocks.heading(part, f"{panel} · {size} · {_seeds(rows)}", notes)
        _draw_panel(part, _legible(everything), styles)
    _blocks.legend_below(figure, _levels.handles(styles), _levels.LEGEND)
    return figure


def _legible(rows: pd.DataFrame) -> pd.DataFrame:
    """Without the level of nothing but noise, unless there is no other."""
    some_data = rows[rows["level"] < 1]
    return rows if some_data.empty else some_data


def _guesses(rows: pd.DataFrame) -> list[str]:
    """The accuracies of nets trained on nothing but noise, where they are not drawn."""
    noise = rows[rows["level"] == 1]
    if noise.empty or len(_legible(rows)) == len(rows):
        return []
    ranges = [
        f"{name} {100 * noise[measure].min():.0f} to {100 * noise[measure].max():.0f} %"
        for measure, name in MEASURES.items()
    ]
    return [f"100 % noise is not drawn: {', '.join(ranges)} at all widths"]


def _draw_panel(part: SubFigure, rows: pd.DataFrame, styles: dict[float, _levels.Style]) -> None:
    """Rows without an accuracy interrupt their line."""
    kinds = _levels.kinds(rows)
    grid = part.subplots(len(MEASURES), len(kinds), sharex=True, squeeze=False)
    for column, kind in zip(grid.T, kinds, strict=True):
        _levels.title_kind(column[0], kind)
        for axes, (measure, name) in zip(column, MEASURES.items(), strict=True):
            _draw_accuracy(axes, rows[rows["kind"] == kind], measure, styles)
            axes.set_ylabel(f"{name} validation\naccuracy (%)")
        column[-1].set_xlabel(_levels.width_label(str(rows["model"].iloc[0])))
    _style.counts_axis(grid[0, 0], rows["width"])
    for axes in grid.flat:
        _style.percent_axis(axes, "y")


def _draw_accuracy(axes: Axes, rows: pd.DataFrame, measure: str, styles: dict[float, _levels.Style]) -> None:
    beside = _levels.dodged(rows["width"], [*styles])
    for level, (colour, marker) in styles.items():
        line = rows[rows["level"] == level]
        axes.errorbar(
            line["width"] * beside[level], line[measure], _style.arms(line, measure), color=colour,
            elinewidth=1.0, linewidth=1.3, **_levels.marked(marker),
        )  # fmt: skip
