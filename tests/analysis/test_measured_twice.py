"""A net that is in the store twice, because something else was measured on it, counts once in every figure."""

from __future__ import annotations

from collections.abc import Callable

import pandas as pd
import pytest

from analysis import figures
from analysis._frames import Frames


def with_again(frames: Frames, copied: pd.Series) -> Frames:
    """With the copied trials once more, as if critical samples had been counted among other examples, too.

    Their ids sort before or after by turns.
    """
    copies = frames.trials[copied]
    ids = {trial: f"{'az'[place % 2]}{trial}" for place, trial in enumerate(copies.index)}
    trials = copies.rename(index=ids).assign(csr_examples=copies["csr_examples"].to_numpy() + 500)
    points = frames.curves.astype({"trial": str, "metric": str})
    renamed = points[points["trial"].isin(ids)].assign(trial=lambda rows: rows["trial"].map(ids))
    curves = pd.concat([points, renamed]).sort_values(["trial", "metric", "epoch"], ignore_index=True)
    return Frames(
        pd.concat([frames.trials, trials]), curves.astype({"trial": "category", "metric": "category"})
    )


@pytest.mark.parametrize("name", figures.names())
@pytest.mark.parametrize("scene", ["many", "troubled"])
@pytest.mark.parametrize("seeds", [range(2000), range(1)])
def test_trials_that_differ_only_in_what_is_measured_count_once(
    name: str, scene: str, seeds: range, scenes: Callable[[str, str], Frames]
) -> None:
    frames, figure = scenes(name, scene), figures.find(name)
    again = with_again(frames, frames.trials["seed"].isin(seeds))
    assert len(again.trials) > len(frames.trials)
    once, twice = (figure.tabulate(each.trials, each.curves) for each in (frames, again))
    pd.testing.assert_frame_equal(twice.select_dtypes("number"), once.select_dtypes("number"))
