"""Figure 10 with every kind of regularizer there is: the papers' and those that came later."""

from __future__ import annotations

import pandas as pd
from matplotlib.text import Text
from test_claims_regularization import trials_of
from test_figures import assert_inside_and_apart, drawn, ticks_out_of_view

from analysis import _style, figures
from analysis._frames import Frames
from memory_study import regularizers


def every_kind() -> Frames:
    """Each kind with a file at two strengths, one of which reaches the cap; adversarial training with dropout."""
    settings = {"none": (0.97, 0.95)}
    for place, kind in enumerate(regularizers.kinds()):
        pair = ",dropout=0.1" if kind == "adversarial" else ""
        settings[f"{kind}={regularizers.find(kind).grid[0]}{pair}"] = (0.975 + 0.001 * place, 0.7)
        settings[f"{kind}={regularizers.find(kind).grid[1]}{pair}"] = (
            0.97 - 0.004 * place,
            0.2 + 0.02 * place,
        )
    trials = trials_of(settings, seeds=3).assign(converged=0.0)
    for kind in regularizers.kinds():
        strength = trials["regularizers"].str.extract(rf"\b{kind}=([0-9.e-]+)")[0]
        trials[f"strength.{kind}"] = strength.astype(float).fillna(0.0)
    kinds = trials.filter(like="strength.")
    trials["strength"] = kinds.sum(axis=1).where((kinds > 0).sum(axis=1) < 2)
    index = pd.Index([f"trial{place:04d}" for place in range(len(trials))], name="trial")
    return Frames(trials.set_axis(index), pd.DataFrame(columns=["trial", "metric", "epoch", "value"]))


def test_all_kinds_have_room_a_colour_and_a_marker_of_their_own() -> None:
    with drawn("regularization", every_kind()) as figure:
        figure.draw_without_rendering()
        hidden = {
            t for axes in figure.axes for axis in (axes.xaxis, axes.yaxis) for t in ticks_out_of_view(axis)
        }
        texts = [
            t for t in figure.findobj(Text) if t.get_visible() and t.get_text().strip() and t not in hidden
        ]
        assert_inside_and_apart(figure, [(t.get_text(), t.get_window_extent()) for t in texts])
        (legend,) = figure.legends
        assert len(legend.get_texts()) == len(regularizers.kinds()) + 1
    styles = _style.colours_and_markers([*regularizers.kinds(), "adversarial + dropout"])
    assert len(set(styles.values())) == len(styles)
    assert styles["sam"] == _style.colours_and_markers(["none", "sam"])["sam"]


def test_kinds_beyond_the_papers_have_their_loss_at_the_cap_beside_the_others() -> None:
    frames = every_kind()
    table = figures.find("regularization").tabulate(frames.trials, frames.curves)
    losses = table.dropna(subset=["loss"]).drop_duplicates("regularizer").set_index("regularizer")["loss"]
    assert set(losses.index) == {*regularizers.kinds(), "adversarial + dropout"} - {"adversarial"}
