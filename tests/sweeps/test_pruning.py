from __future__ import annotations

from collections import Counter

import pytest

from memory_study import scores
from memory_study.config import ConfigError, TrialConfig
from sweeps import pruning
from sweeps._options import resolve
from sweeps._plan import distinct


def planned(**given: object) -> list[TrialConfig]:
    return list(distinct(pruning.plan(resolve(pruning.SWEEP, {"scale": "smoke", **given}))))


def test_every_score_drops_both_ends_and_the_lot_has_none() -> None:
    ways = Counter((t.pruning_score, t.pruned_end) for t in planned(shares=(0.3, 0.5), seeds=(0, 1)))
    expected = {(name, end): 8 for name in scores.names() if name != "random" for end in ("low", "high")}
    assert ways == {**expected, ("random", "low"): 8, ("none", "low"): 4}


def test_half_of_the_trials_have_false_labels() -> None:
    levels = Counter((t.corruption, t.corruption_level) for t in planned(false_labels=0.4))
    assert levels == {("none", 0.0): 12, ("randY", 0.4): 12}


def test_examples_are_scored_after_as_many_epochs_as_asked_for() -> None:
    assert {t.scoring_epochs for t in planned(scoring_epochs=7) if t.pruned_share} == {7}


@pytest.mark.parametrize("share", [0.0, 1.0, -0.1, 40.0])
def test_a_share_that_drops_nothing_or_all_is_refused(share: float) -> None:
    with pytest.raises(ConfigError, match=f"--shares {share:g} is not a share to drop"):
        planned(shares=(0.3, share))


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["--shares", "0.0001"], ["a share of 0.0001 of 200 examples drops none", "use at least 0.005"]),
        (["--scores", "magic"], ["--scores", "'magic'", "choose from el2n"]),
        (["--ends", "middle"], ["--ends", "'middle'", "low, high"]),
        (["--false-labels", "20"], ["20 is not a fraction"]),
        (["--model", "cnn-zhang"], ["loss_sensitivity unrolls", "--model mlp"]),
    ],
)
def test_what_cannot_be_dropped_is_told_in_one_line(
    argv: list[str], words: list[str], here: object, capsys: pytest.CaptureFixture[str]
) -> None:
    from sweeps._cli import main

    assert (
        main(pruning.SWEEP, [*argv, "--scale", "smoke", "--dry-run", "--tracking-uri", "sqlite:///x.db"]) == 2
    )
    (line,) = capsys.readouterr().err.splitlines()
    for word in words:
        assert word in line
