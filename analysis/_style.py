"""One look for all figures: a colour-blind safe palette, text as text, equal bytes from equal numbers."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Literal

import matplotlib
import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, MaxNLocator, NullFormatter, NullLocator

from analysis._frames import CONTROL

INK, FAINT = "#222222", "#8a8a8a"
Dashes = Literal["-"] | tuple[float, tuple[float, ...]]
_LOOK: dict[Any, Any] = {
    "figure.dpi": 100, "savefig.dpi": 200, "figure.facecolor": "white", "figure.constrained_layout.use": True,
    "font.family": "DejaVu Sans", "font.size": 9.5, "axes.titlesize": 10.5,
    "axes.labelsize": 10, "legend.fontsize": 9,
    "xtick.labelsize": 9, "ytick.labelsize": 9, "axes.titlelocation": "left", "text.color": INK,
    "axes.labelcolor": INK, "axes.edgecolor": FAINT, "xtick.color": INK, "ytick.color": INK,
    "axes.linewidth": 0.8,
    "axes.spines.top": False, "axes.spines.right": False, "axes.grid": True, "grid.color": "#e8e8e8",
    "grid.linewidth": 0.7, "axes.axisbelow": True, "legend.frameon": False, "lines.solid_capstyle": "round",
    "svg.fonttype": "none", "svg.hashsalt": "memory-study",
}  # fmt: skip
# Okabe and Ito's palette, whose hues stay apart in the common colour blindnesses; markers tell them apart in
# print.
_KINDS = {
    CONTROL: ("#000000", "*"),
    "dropout": ("#0072B2", "o"),
    "input_dropout": ("#56B4E9", "s"),
    "input_noise": ("#009E73", "^"),
    "hidden_noise": ("#E69F00", "D"),
    "weight_decay": ("#CC79A7", "v"),
    "adversarial + dropout": ("#D55E00", "P"),
    # Beyond the papers: Tol's muted palette.
    "early_stopping": ("#332288", "X"),
    "label_smoothing": ("#999933", "<"),
    "mixup": ("#882255", ">"),
    "sam": ("#44AA99", "p"),
}
_TITLE_LINE = 64  # characters that fit into a figure of nothing
# For kinds that come later, by place in the alphabet of the unknown: the rest of that palette.
_SPARE = (("#AA4499", "h"), ("#661100", "d"), ("#117733", "H"), ("#DDCC77", "8"))


def look() -> AbstractContextManager[None]:
    """A context in which figures are made and saved in this style."""
    return matplotlib.rc_context(_LOOK)


def regularizer_order(regularizers: Iterable[str]) -> list[str]:
    """The distinct regularizers in the order in which every figure shows them, the control first."""
    known = list(_KINDS)
    return sorted(
        set(regularizers), key=lambda kind: (known.index(kind) if kind in known else len(known), kind)
    )


def colours_and_markers(regularizers: Iterable[str]) -> dict[str, tuple[str, str]]:
    """A colour and a marker for each regularizer; known ones have the same in every figure."""
    ordered = regularizer_order(regularizers)
    new = [kind for kind in ordered if kind not in _KINDS]
    return {k: _KINDS[k] if k in _KINDS else _SPARE[new.index(k) % len(_SPARE)] for k in ordered}


def percent_axis(axes: Axes, which: str) -> None:
    """Write the fractions of the axis ``which`` ("x" or "y") as per cent numbers."""
    axis = axes.xaxis if which == "x" else axes.yaxis
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:.4g}"))


def epoch_axis(axes: Axes, epochs: int, logarithmic_above: int = 50) -> None:
    """The x axis for epochs from 1: logarithmic where there are many, with plain numbers."""
    axes.set_xlim(1, max(epochs, 2))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    if epochs > logarithmic_above:
        axes.set_xscale("log")
        axes.set_xlim(0.95, 1.05 * max(epochs, 2))  # markers at both ends stay whole
        steps = (1.0, 2.0, 5.0) if epochs < 30 else (1.0, 3.0) if epochs < 2000 else (1.0,)
        axes.xaxis.set_major_locator(LogLocator(subs=steps))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
        axes.xaxis.set_minor_formatter(NullFormatter())


def counts_axis(axes: Axes, values: Iterable[float]) -> None:
    """The x axis for counts (units, examples): binary logarithm, ticks at these values, as many as fit."""
    ordered = sorted({float(value) for value in values})
    low, high = ordered[0], ordered[-1]
    margin = (high / low) ** 0.1 if high > low else 2.0
    axes.set_xscale("log", base=2)
    axes.set_xlim(low / margin, high * margin)
    ticks = [low]
    for value in ordered[1:]:
        if math.log(value / ticks[-1]) >= math.log(high / low) / 8:
            ticks.append(value)
    _plain_ticks(axes.xaxis, ticks)


def duration_axis(axes: Axes, low: float, high: float) -> None:
    """The y axis for epochs between two positive numbers: logarithmic, three to nine ticks with plain numbers."""
    middle, span = math.sqrt(low * high), max(high / low * 1.5, 4.0)
    low, high = middle / math.sqrt(span), middle * math.sqrt(span)
    axes.set_yscale("log")
    axes.set_ylim(low, high)
    decades = [10.0**power for power in range(math.floor(math.log10(low)), math.ceil(math.log10(high)))]
    for steps in ((1,), (1, 3), (1, 2, 5), (1, 1.5, 2, 3, 5, 7)):
        ticks = [d * step for d in decades for step in steps if low <= d * step <= high]
        if len(ticks) >= 3:
            break
    _plain_ticks(axes.yaxis, ticks)


def _plain_ticks(axis: Axis, ticks: Sequence[float]) -> None:
    """Exactly these ticks, written as plain numbers."""
    axis.set_major_locator(FixedLocator(ticks))
    axis.set_major_formatter(
        FuncFormatter(lambda value, _: f"{value:.4g}" if value < 1e4 else f"{value:,.0f}")
    )
    axis.set_minor_locator(NullLocator())


def arms(table: pd.DataFrame, column: str) -> npt.NDArray[np.float64]:
    """How far the interval of a column reaches down and up, for ``errorbar``; 0 where there is none."""
    low, middle, high = (table[f"{column}{end}"].to_numpy(dtype=float) for end in ("_low", "", "_high"))
    return np.asarray(np.nan_to_num([middle - low, high - middle]))


def curve(axes: Axes, line: Sequence[npt.ArrayLike], colour: Any, **style: Any) -> None:
    """A line with its interval as a band: ``line`` is x, mean, low and high."""
    x, mean, low, high = line
    axes.plot(x, mean, color=colour, **{"linewidth": 1.5, **style})
    axes.fill_between(x, low, high, color=colour, alpha=0.15, linewidth=0)


def lighten(colour: str, share: float) -> tuple[float, float, float]:
    """The colour mixed with a share (0 to 1) of white."""
    red, green, blue = matplotlib.colors.to_rgb(colour)
    return red + (1 - red) * share, green + (1 - green) * share, blue + (1 - blue) * share


def nothing_to_draw(title: str, missing: str, command: str) -> Figure:
    """A figure that says what is missing, and which command fills it."""
    figure = Figure(figsize=(7.0, 2.4))
    figure.text(0.04, 0.80, textwrap.fill(title, _TITLE_LINE), fontsize=12, weight="bold")
    figure.text(0.04, 0.52, missing, fontsize=10)
    figure.text(0.04, 0.30, "Fill it with:", fontsize=10, color=FAINT)
    figure.text(0.04, 0.12, command, fontsize=10, family="DejaVu Sans Mono")
    return figure


def marker_size(marker: str) -> float:
    """Points across at which the markers look equally large."""
    return {"*": 11.0, "P": 7.5, "D": 5.0}.get(marker, 5.5)


def save(figure: Figure, stem: Path) -> tuple[Path, Path]:
    """Write ``<stem>.png`` and ``<stem>.svg``, without dates, so that equal figures are equal files."""
    png, svg = stem.with_suffix(".png"), stem.with_suffix(".svg")
    figure.savefig(png, metadata={"Software": None})
    figure.set_layout_engine("none")  # the places are found; finding them again is a third of the time
    for axes in figure.axes:  # a layout's last digits depend on where in memory it was found, and ids on them
        axes.set_position(np.round(axes.get_position(original=True).bounds, 9).tolist())
    figure.savefig(svg, metadata={"Date": None, "Creator": None})
    return png, svg
