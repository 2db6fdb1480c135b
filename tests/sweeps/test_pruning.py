from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

from memory_study import scores
from memory_study.config import ConfigError, TrialConfig
from memory_study.cost import replica_cost
from memory_study.record import epoch_grid
from sweeps import pruning
from sweeps._cost import CPU, DEVICES, GIB, replica_bytes, trial_flops
from sweeps._options import resolve
from sweeps._pack import Facts, Machine, bytes_of, pack
from sweeps._peaks import Peak
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


MNIST = Facts((1, 28, 28), 10, 10_000, 10_000)
MNIST_SHAPE = (MNIST.image, MNIST.classes)


def test_the_weights_that_a_first_training_passes_are_counted_once_for_those_that_run_together() -> None:
    trials = [t for t in planned(scale="paper", shares=(0.2,)) if t.pruned_share]
    asking = [t for t in trials if t.pruning_score == "loss_sensitivity"]
    others = [t for t in trials if t.pruning_score != "loss_sensitivity"]
    weights = 4 * (8 * 391 + 1) * 1_863_690
    for configs in (asking[:1], trials):
        more = bytes_of(configs, MNIST) - len(configs) * replica_bytes(configs[0], *MNIST_SHAPE)
        assert weights < more < weights + 10 * GIB
    assert bytes_of(others, MNIST) < len(others) * replica_bytes(others[0], *MNIST_SHAPE) + GIB
    tasks = pack(trials, Machine(DEVICES["H200"], 1), lambda trial: MNIST)
    assert all(task.memory_bytes > weights for task in tasks if set(task.cohort.configs) & set(asking))
    for order in (trials, trials[::-1]):
        with pytest.raises(ValueError, match=r"one trial of mlp at width 1024 needs about 26\.3 GiB"):
            pack(order, Machine(replace(CPU, memory_bytes=16 * GIB), 1), lambda trial: MNIST)


def test_the_way_back_through_a_first_training_takes_time() -> None:
    (asking, *_), (other, *_) = (
        [t for t in planned(scale="paper") if t.pruning_score == name]
        for name in ("loss_sensitivity", "loss")
    )
    epochs = replica_cost(asking, *MNIST_SHAPE).training_flops * asking.train_size
    more = trial_flops(asking, *MNIST_SHAPE, 0) - trial_flops(other, *MNIST_SHAPE, 0)
    back = sum(step for step in epoch_grid(8 * 391, 8) if step >= 391) / 391
    assert 1.5 * back * epochs < more < 2.5 * back * epochs


def test_what_a_gpu_took_without_the_first_trainings_weights_says_nothing_of_a_cohort_with_them() -> None:
    asking, other = (
        [t for t in planned() if t.pruning_score == name][:1] for name in ("loss_sensitivity", "loss")
    )
    assert Peak.of(other, 100).bound(Peak.of(asking)) is None
    assert Peak.of(asking, 100).bound(Peak.of(other)) == 100


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
