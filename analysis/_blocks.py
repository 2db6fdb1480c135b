"""The frame of a figure: a block of axes for each panel, its title and notes, and one legend under all."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Mapping, Sequence

from matplotlib.artist import Artist
from matplotlib.figure import Figure, SubFigure

from analysis._style import FAINT


def blocks(heights: Mapping[str, float]) -> tuple[Figure, list[tuple[str, SubFigure]]]:
    """A figure of blocks of axes, one under the other, by name: as high (inches) as their axes need."""
    figure = Figure(figsize=(9.2, sum(heights.values()) + 0.8))
    parts = figure.subfigures(len(heights), 1, squeeze=False, height_ratios=[*heights.values()])[:, 0]
    return figure, list(zip(heights, parts, strict=True))


def heading(part: SubFigure, title: str, notes: Iterable[str] = ()) -> None:
    """The title of a block of axes, wrapped to its width, and the notes below it, a line for each."""
    part.suptitle(textwrap.fill(title, 90), x=0.02, ha="left", fontsize=11, weight="bold")
    if text := "\n".join(notes):
        part.supxlabel(text, x=0.02, ha="left", fontsize=8.5, color=FAINT)


def not_drawn(diverged: Sequence[str], at_most: int = 6) -> list[str]:
    """Lines, no wider than a figure, that name the settings in which a trial diverged; none without any."""
    more = [f"and {len(diverged) - at_most} more"] if len(diverged) > at_most else []
    names = "; ".join([*diverged[:at_most], *more])
    return textwrap.wrap(f"Diverged, not drawn: {names}", 130) if diverged else []


def legend_below(figure: Figure, handles: Sequence[Artist], title: str, columns: int = 7) -> None:
    """One legend for the whole figure, under it, read row by row."""
    columns = min(columns, len(handles))
    figure.legend(
        handles=across(handles, columns), loc="outside lower center", ncols=columns, title=title,
        title_fontsize=9, columnspacing=1.6,
    )  # fmt: skip


def across(handles: Sequence[Artist], columns: int) -> list[Artist]:
    """The handles in the order in which a legend, which fills its columns downwards, shows them row by row."""
    return [handle for column in range(columns) for handle in handles[column::columns]]
