"""How levels and kinds of noise look in every figure that compares them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.lines import Line2D

from analysis import _noise, _style

LEGEND = "share of the training examples that are noise"
OF_KIND = {"none": ("#000000", "*"), "randX": ("#0072B2", "o"), "randY": ("#D55E00", "s")}
"""A colour and a marker for real data and each kind of noise, where levels are not compared."""
_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "p")
Style = tuple[str, str]


def colour(level: float) -> str:
    """Black for real data, then along one ramp that grows lighter with the level, the same in every figure."""
    return "#000000" if level == 0 else to_hex(matplotlib.colormaps["plasma"](0.08 + 0.7 * level))


def styles(levels: Iterable[float]) -> dict[float, Style]:
    """A colour and a marker for each level, ascending."""
    noisy = [level for level in sorted(set(levels)) if level > 0]
    marked = {level: (colour(level), _MARKERS[k % len(_MARKERS)]) for k, level in enumerate(noisy)}
    return {level: marked.get(level, (colour(0), "*")) for level in sorted(set(levels))}


def handle(style: Style, label: str) -> Line2D:
    """An entry of a legend."""
    return Line2D([], [], color=style[0], label=label, **marked(style[1]))


def handles(styles: dict[float, Style]) -> list[Line2D]:
    """The entries of a legend of levels, ascending, the real data first."""
    return [handle(style, name(level)) for level, style in styles.items()]


def name(level: float) -> str:
    """``real data (0 %)``, ``40 %``."""
    return "real data (0 %)" if level == 0 else f"{100 * level:.4g} %"


def marked(marker: str, **style: Any) -> dict[str, Any]:
    """Keyword arguments of a line with this marker."""
    size = _style.marker_size(marker)
    return {"marker": marker, "markersize": size, "markeredgecolor": "white", "markeredgewidth": 0.6} | style


def dodged(values: Iterable[float], levels: Sequence[float]) -> dict[float, float]:
    """A factor for each level that sets its points a little beside those of other levels, on a log axis."""
    logs = np.log(np.unique(np.asarray(list(values), dtype=float)))
    room = 0.65 * float(np.diff(logs).min()) / max(len(levels) - 1, 1) if len(logs) > 1 else np.inf
    step = min(room, 0.028 * max(float(np.ptp(logs)), 1.0))
    middle = (len(levels) - 1) / 2
    return {level: float(np.exp(step * (place - middle))) for place, level in enumerate(levels)}


def draw_curve(axes: Axes, rows: pd.DataFrame, metric: str, style: Style, **line: Any) -> None:
    """A metric by epoch with its interval as a band, small markers evenly along it."""
    rows = rows.dropna(subset=[metric])
    if rows.empty:
        return
    columns = [
        rows[name].to_numpy(dtype=float) for name in ("epoch", metric, f"{metric}_low", f"{metric}_high")
    ]
    colour, marker = style
    size = 0.75 * _style.marker_size(marker)
    every = 0.12 if len(rows) > 1 else 1  # a distance along a line needs a line
    _style.curve(axes, columns, colour, markevery=every, **marked(marker, markersize=size), **line)


def draw_kinds(axes: Axes, rows: pd.DataFrame, metric: str) -> None:
    """:func:`draw_curve` for each kind of data: real data last, whose star would hide under the markers of noise."""
    for kind in reversed(OF_KIND):
        draw_curve(axes, rows[rows["kind"] == kind], metric, OF_KIND[kind])


def kinds(table: pd.DataFrame) -> list[str]:
    """The kinds of noise in a table, in the order in which they are shown."""
    return [kind for kind in _noise.KINDS if (table["kind"] == kind).any()]


def heights(table: pd.DataFrame) -> dict[str, float]:
    """Inches for each panel with a row of axes for each of its kinds of noise."""
    return {str(panel): 2.7 * len(kinds(rows)) + 0.6 for panel, rows in table.groupby("panel")}


def title_kind(axes: Axes, kind: str) -> None:
    """Name what is random in these axes."""
    axes.set_title(_noise.KINDS[kind], weight="bold")


def width_label(model: str) -> str:
    """The unit in which the width of a model is counted."""
    return "width (channels per convolution)" if model.startswith("cnn") else "width (units per hidden layer)"
