"""Is a net trained on noise more complex than one trained on real data, from when on? (Arpit et al. 2017, figure 9)

The critical sample ratio (CSR), the share of examples that have another predicted class within the radius of the search,
through training on real data, on random inputs and on random labels: all of the training set random, or the highest
level of noise there is. Left: over clean validation data, right: over the training set as it was trained on. Means over
seeds with a 95 % t-interval; of a single seed, the 95 % Wilson interval over its examples. A trial that stopped at
convergence counts with its last value as long as another seed goes on. The state before training, if measured, is not
drawn. Data on which a trial diverged are named, not averaged.
"""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure, SubFigure

from analysis import _blocks, _curves, _frames, _levels, _noise, _style

SWEEP = "noise"
COLUMNS = _noise.COLUMNS
RATIOS = {"csr_validation": "validation data", "csr_train": "training data"}
"""What the columns of axes show, and over which data it is."""
_BOUNDS = tuple(f"{ratio}{end}" for ratio in RATIOS for end in ("_low", "_high"))
CURVES = (*RATIOS, *_BOUNDS)
CLAIMS = ("C10", "C15")
_KEY = [*_noise.KEY, "epoch"]
_TITLE = "Critical sample ratio through training, on real data and on noise"


def tabulate(trials: pd.DataFrame, curves: pd.DataFrame) -> pd.DataFrame:
    """One row per panel, data (``kind``, "none" is real) and epoch: see :func:`analysis._curves.means_by_epoch`.

    Where a mean is of one seed, its interval is Wilson's.
    """
    trials = _noise.real_and_noisiest(_noise.by_kind(_frames.with_columns(trials, COLUMNS)))
    table = _curves.means_by_epoch(trials, curves, tuple(RATIOS))
    wilson = _curves.means_by_epoch(trials, curves, _BOUNDS).set_index(_KEY)[[*_BOUNDS]]
    wilson = wilson.reindex(pd.MultiIndex.from_frame(table[_KEY])).reset_index(drop=True)
    for bound in _BOUNDS:
        seeds = table[f"{bound.removesuffix('_low').removesuffix('_high')}_seeds"]
        table[bound] = table[bound].where(seeds.ne(1).fillna(True), wilson[bound])
    return table


def describe(table: pd.DataFrame) -> str:
    """Which data are drawn, with how many seeds."""
    drawn = table.dropna(subset=["epoch"])
    seeds = _curves.seeds(drawn, tuple(RATIOS)).partition(",")[0]
    return f"{', '.join(_names(drawn).values()) or 'nothing'} ({seeds})"


def draw(table: pd.DataFrame) -> Figure:
    """A row for each panel: critical samples of validation and of training data."""
    drawn = table.dropna(subset=["epoch"])
    if drawn.empty:
        return _style.nothing_to_draw(
            _TITLE, "No critical samples of sound, finished trials.", f"python -m sweeps.{SWEEP}"
        )
    figure, blocks = _blocks.blocks(dict.fromkeys(drawn["panel"], 3.6))
    for panel, part in blocks:
        rows, everything = drawn[drawn["panel"] == panel], table[table["panel"] == panel]
        lost = _blocks.not_drawn(_noise.diverged_settings(everything))
        _blocks.heading(part, f"{panel} · {_seeds(rows)}", lost)
        _draw_panel(part, rows)
    names = _names(drawn)
    handles = [_levels.handle(_levels.OF_KIND[kind], name) for kind, name in names.items()]
    _blocks.legend_below(figure, handles, "training data")
    return figure


def _seeds(rows: pd.DataFrame) -> str:
    """The number of seeds and the interval, which a single seed has too."""
    text = _curves.seeds(rows, tuple(RATIOS))
    return f"{text}, 95 % Wilson intervals over examples" if text == "1 seed" else text


def _names(rows: pd.DataFrame) -> dict[str, str]:
    """What each kind of data is called, real data first, with its levels of noise where they are not all 100 %."""
    names = {}
    for kind, levels in rows.groupby("kind")["level"]:
        percents = ", ".join(f"{100 * level:.4g}" for level in sorted(levels.unique()))
        share = "" if percents in ("0", "100") else f" ({percents} %)"
        names[str(kind)] = _noise.KINDS.get(str(kind), "real data") + share
    return names


def _draw_panel(part: SubFigure, rows: pd.DataFrame) -> None:
    axes_of = part.subplots(1, len(RATIOS), sharex=True, sharey=True)
    for axes, (ratio, over) in zip(axes_of, RATIOS.items(), strict=True):
        _levels.draw_kinds(axes, rows, ratio)
        axes.set_title(f"over {over}", weight="bold")
        axes.set_xlabel("epoch")
    axes_of[0].set_ylim(bottom=0)
    axes_of[0].set_ylabel("critical sample ratio (%)")
    _style.percent_axis(axes_of[0], "y")
    _style.epoch_axis(axes_of[0], int(rows["epoch"].max()), logarithmic_above=3)
