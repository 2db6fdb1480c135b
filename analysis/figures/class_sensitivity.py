"""Does the loss of a class depend on examples of other classes, in real data and in noise? (Arpit et al. 2017, figure 4)

Cell (i, j): sensitivity of the summed loss of the examples labelled i to an example labelled j, 1-norm, mean over these
examples and over about log-spaced SGD steps; labels as trained on. Each map adds up to 100 % and is the mean over seeds;
all share one logarithmic scale of colours. Above each map: the share off the diagonal with its 95 % t-interval over seeds.
Data on which a trial diverged, or its sensitivities overflowed, are named, not averaged.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure, SubFigure
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

from analysis import _blocks, _frames, _noise, _over_seeds, _sensitivity, _style

SWEEP = "sensitivity"
COLUMNS = (*_sensitivity.COLUMNS, "class_sensitivity", "sensitivity_off_diagonal")
CURVES: tuple[str, ...] = ()
CLAIMS = ("C5",)
SHARE = "sensitivity_off_diagonal"
_TICKS = [step * 10.0**power for power in range(-12, 1) for step in (1, 3)]
_TITLE = "Sensitivity of the loss of each class to examples of each class"


def tabulate(trials: pd.DataFrame, curves: pd.DataFrame) -> pd.DataFrame:
    """One row per panel, data (``kind``, "none" is real) and cell (``loss_class``, ``example_class``), with its ``share``.

    The off-diagonal share with interval and seeds is that of the whole map. Data on which a trial was ``lost`` have one
    row, without a cell.
    """
    trials = _frames.with_columns(trials, COLUMNS)
    trials = _sensitivity.by_data(trials[trials["labels"].fillna("data") == "data"])
    key = _sensitivity.KEY
    kept = trials[_noise.sound(trials, key) & trials["class_sensitivity"].notna()]
    table = _sensitivity.lost(trials).join(_over_seeds.means(kept, key, SHARE))
    cells = {name: _cells(rows) for name, rows in kept.groupby(key)}
    if cells:
        table = table.join(pd.concat(cells, names=key).droplevel(-1))
    numbers = [f"{SHARE}{end}" for end in ("", "_low", "_high", "_seeds")]
    columns = [*key, "loss_class", "example_class", "share", *numbers, "lost"]
    whole = dict.fromkeys(("loss_class", "example_class", f"{SHARE}_seeds"), "Int64")
    table = table.reset_index().reindex(columns=columns).astype(whole)
    return table.sort_values([*key, "loss_class", "example_class"]).reset_index(drop=True)


def _cells(rows: pd.DataFrame) -> pd.DataFrame:
    """Each cell of the mean of the seeds' maps, each of which adds up to 1. Empty classes have none."""
    maps = np.stack([np.asarray(each, dtype=np.float64) for each in rows["class_sensitivity"]])
    shares = maps / np.nansum(maps, axis=(1, 2), keepdims=True)
    loss_class, example_class = (places.ravel() for places in np.indices(maps.shape[1:]))
    by_seed = pd.DataFrame(shares.reshape(len(maps), -1)).groupby(rows["seed"].to_numpy()).mean()
    return pd.DataFrame({"loss_class": loss_class, "example_class": example_class, "share": by_seed.mean()})


def describe(table: pd.DataFrame) -> str:
    """Which data are drawn, with how many seeds."""
    drawn = table.dropna(subset=["share"])
    names = [name for kind, name in _sensitivity.KINDS.items() if (drawn["kind"] == kind).any()]
    return f"{', '.join(names) or 'nothing'} ({_seeds(drawn).partition(',')[0]})"


def _seeds(rows: pd.DataFrame) -> str:
    return _frames.seed_range(rows[f"{SHARE}_seeds"])


def draw(table: pd.DataFrame) -> Figure:
    """A row of maps for each panel."""
    drawn = table.dropna(subset=["share"])
    if drawn.empty:
        return _style.nothing_to_draw(
            _TITLE, "No sensitivities between classes of sound, finished trials.", f"python -m sweeps.{SWEEP}"
        )
    figure, blocks = _blocks.blocks(dict.fromkeys(drawn["panel"], 3.6))
    for panel, part in blocks:
        rows, everything = drawn[drawn["panel"] == panel], table[table["panel"] == panel]
        _blocks.heading(part, f"{panel} · {_seeds(rows)}", _sensitivity.not_drawn(everything))
        _draw_panel(part, rows)
    return figure


def _draw_panel(part: SubFigure, rows: pd.DataFrame) -> None:
    kinds = [kind for kind in _sensitivity.KINDS if (rows["kind"] == kind).any()]
    axes_of = part.subplots(1, len(_sensitivity.KINDS), sharex=True, sharey=True)
    positive = rows["share"][rows["share"] > 0]
    low, high = float(positive.min()), float(positive.max())
    for axes, kind in zip(axes_of, kinds, strict=False):
        _draw_map(axes, rows[rows["kind"] == kind], _sensitivity.KINDS[kind], LogNorm(low, high))
    for axes in axes_of[len(kinds) :]:
        axes.set_visible(False)
    axes_of[0].set_ylabel("loss of class")
    bar = part.colorbar(axes_of[0].images[0], ax=list(axes_of), shrink=0.9, pad=0.01)
    bar.set_label("share of the map (%)")
    # None beyond the ends, where text would leave the figure.
    ticks = [tick for tick in _TICKS if low <= tick <= high]
    bar.ax.yaxis.set(major_locator=FixedLocator(ticks), minor_locator=NullLocator())
    bar.ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:.3g}"))


def _draw_map(axes: Axes, rows: pd.DataFrame, name: str, scale: LogNorm) -> None:
    cells = rows.pivot(index="loss_class", columns="example_class", values="share")
    axes.imshow(cells.to_numpy(dtype=float), norm=scale, cmap="viridis", interpolation="nearest")
    share, low, high = (100 * float(rows[f"{SHARE}{end}"].iloc[0]) for end in ("", "_low", "_high"))
    interval = f" [{low:.0f}, {high:.0f}]" if np.isfinite(low) else ""
    axes.set_title(f"{name}\n{share:.0f} %{interval} off diagonal", weight="bold")
    axes.set_xlabel("example of class")
    axes.grid(visible=False)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(5, integer=True))
