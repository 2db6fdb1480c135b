"""Trials that drop training examples by a score, and what they are compared with."""

from __future__ import annotations

import pandas as pd

from analysis import _frames

COLUMNS = (
    "dataset", "model", "train_size", "seed", "corruption", "corruption_level", "regularizer", "diverged",
    "pruning_score", "pruned_end", "pruned_share", "scoring_epochs", "scores_finite",
)  # fmt: skip
"""Columns of ``trials`` that say what was dropped from what."""
LOT = "random"
"""The score that any other has to beat."""
CLEAN = "clean labels"
ENDS = {"low": "lowest", "high": "highest"}
"""What is dropped, in words."""
KEY = ["panel", "data", "score", "end", "share"]
_CHOICE = ("pruning_score", "pruned_end", "pruned_share", "scoring_epochs")


def ways(trials: pd.DataFrame) -> pd.DataFrame:
    """The trials without regularizers by :data:`KEY` and ``seed``, each once, with booleans ``diverged`` and
    ``unscored``: its first training diverged or its scores overflowed, so that it dropped by lot whatever its score is
    called. Such a trial counts as diverged, too; one of older code, which does not say, as scored.

    ``data`` is :data:`CLEAN` or how many labels were drawn anew. What has no ends is there for both: dropping by lot, and
    dropping nothing (share 0), which is there for each score too. So the index repeats. A panel is named by when examples
    were scored, besides what :func:`analysis._frames.panels` says.
    """
    trials = trials[trials["regularizer"].fillna(_frames.CONTROL) == _frames.CONTROL]
    trials = trials.assign(panel=_frames.panels(trials, _CHOICE), share=trials["pruned_share"].fillna(0.0))
    trials["data"] = [
        CLEAN if kind == _frames.CONTROL else f"{100 * level:.4g} % of labels drawn anew"
        for kind, level in zip(trials["corruption"], trials["corruption_level"], strict=True)
    ]
    trials = trials[trials["corruption"].isin([_frames.CONTROL, "randY"])]
    dropping, whole = trials[trials["share"] > 0], trials[trials["share"] == 0]
    parts = []
    for (panel, epochs, score), rows in dropping.groupby(["panel", "scoring_epochs", "pruning_score"]):
        everything = whole[whole["panel"] == panel]
        for end in ENDS:
            own = rows if score == LOT else rows[rows["pruned_end"] == end]
            name = f"{panel} · scored after {epochs:g} epochs"
            parts.append(pd.concat([everything, own]).assign(panel=name, score=str(score), end=end))
    found = pd.concat(parts) if parts else dropping.assign(score="", end="")
    found["unscored"] = found["scores_finite"].eq(0)
    found["diverged"] = found["diverged"].fillna(0).gt(0) | found["unscored"]
    return found.sort_values([*KEY, "seed"], kind="stable").drop_duplicates([*KEY, "seed"])


def scores(table: pd.DataFrame) -> list[str]:
    """The scores of a table, in alphabetical order, the lot last."""
    return sorted(table["score"].unique(), key=lambda name: (name == LOT, name))
