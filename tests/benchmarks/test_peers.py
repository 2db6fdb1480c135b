"""The peers train what we train: else comparing times would be worth nothing."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from benchmarks import __main__, _agreement, _plan
from benchmarks._peer_training import Feed, Metrics, TrialData, load, train
from benchmarks._timing import Timing, line
from benchmarks.plain import Loaders
from benchmarks.tuned import InMemory
from memory_study.cohort import Cohort
from memory_study.config import TrialConfig
from memory_study.record import Record
from memory_study.run import run_cohort

FeedOf = Callable[[TrialData], Feed]
NOISES = {"none": 0.0, "randX": 0.5, "randY": 1.0}


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


OURS_ALONE = {"corrupted_fitted_false", "corrupted_predicted_true"}
"""Measured by us and by no peer, in the pass over the training set that both make."""


def ours(config: TrialConfig) -> Record:
    return run_cohort(Cohort((config,)), location=Path())[0]


def peers(config: TrialConfig) -> list[list[Metrics]]:
    feeds: list[tuple[FeedOf, bool]] = [(InMemory, True), (lambda data: Loaders(data, config), False)]
    return [list(train(config, load(config, ""), feed_of, fused)) for feed_of, fused in feeds]


@pytest.mark.parametrize("noise", NOISES)
@pytest.mark.parametrize("regularizers", [{}, {"weight_decay": 0.01}])
def test_without_noise_in_training_a_peer_measures_what_we_measure_epoch_by_epoch(noise, regularizers):
    config = TrialConfig(
        corruption=noise, corruption_level=NOISES[noise], regularizers=regularizers, seed=1,
        batch_size=50, momentum=0.9, epochs=4, csr_examples=0,
    )  # fmt: skip
    record = ours(config)
    for history in peers(config):
        assert len(history) == config.epochs
        assert record.curves.keys() - history[0].keys() <= OURS_ALONE
        for name, curve in record.curves.items():
            if name in OURS_ALONE:
                continue
            assert [metrics[name] for metrics in history] == pytest.approx([v for _, v in curve], abs=3e-3)
        for name in ("best_validation_accuracy", "best_validation_epoch", "convergence_epoch", "converged"):
            assert history[-1][name] == pytest.approx(record.scalars[name], abs=1e-9)
        # Where a unit is at its kink, rounding decides its gradient: a few close calls among 400 may fall otherwise.
        assert history[-1]["test_accuracy"] == pytest.approx(record.scalars["test_accuracy"], abs=0.01)


@pytest.mark.parametrize(
    "regularizers",
    [
        {"dropout": 0.5},
        {"input_dropout": 0.5},
        {"input_noise": 2.0},
        {"hidden_noise": 0.3},
        {"adversarial": 0.5, "dropout": 0.1},
    ],
)
def test_with_noise_in_training_the_loss_on_random_labels_is_that_of_another_seed(regularizers):
    losses: list[list[float]] = [[], [], []]
    for seed in range(3):
        config = TrialConfig(
            corruption="randY", corruption_level=1.0, regularizers=regularizers, seed=seed,
            batch_size=50, momentum=0.9, epochs=5, csr_examples=0, csr_radius=3.0, csr_gradient_step=2.5,
        )  # fmt: skip
        losses[0].append(ours(config).curves["train_loss"][-1][1])
        for kept, history in zip(losses[1:], peers(config), strict=True):
            kept.append(history[-1]["train_loss"])
    # Without its regularizer the loss is lower by .05 to .2, so a peer that forgot one would be found out.
    for peer in losses[1:]:
        assert sum(peer) / 3 == pytest.approx(sum(losses[0]) / 3, abs=0.025)


def test_critical_sample_ratios_are_those_of_the_same_search():
    config = TrialConfig(batch_size=50, momentum=0.9, epochs=3, csr_examples=397, csr_radius=10.0,
                         csr_gradient_step=5.0, csr_noise_step=2.0)  # fmt: skip
    record = ours(config)
    for history in peers(config):
        for name in ("csr_validation", "csr_train"):
            assert record.curves[name][-1][1] > 0.05
            assert history[-1][name] == pytest.approx(record.curves[name][-1][1], abs=0.02)


def test_a_sample_has_every_regularizer_in_its_share_and_survives_a_file(tmp_path):
    plan = _plan.plan_of(["--scale", "laptop"])
    chosen = _plan.sample(plan, 43)
    for kind in ("adversarial", "dropout", "hidden_noise", "input_noise", "weight_decay"):
        shares = [
            sum(kind in dict(c.regularizers) for c in trials) / len(trials) for trials in (plan, chosen)
        ]
        assert shares[1] == pytest.approx(shares[0], abs=0.02)
    assert len(set(chosen)) == 43
    _plan.write(chosen, tmp_path / "plan.json")
    assert _plan.read(tmp_path / "plan.json") == chosen


def test_a_peer_that_forgets_its_regularizer_does_not_agree():
    plan = tuple(TrialConfig(regularizers={"dropout": 0.5}, seed=seed) for seed in range(6))
    right = {c.id: dict.fromkeys(_agreement.METRICS, 0.5 + 0.01 * c.seed) for c in plan}
    wrong = {c.id: dict.fromkeys(_agreement.METRICS, 0.9) for c in plan}
    assert all(agreement.holds for agreement in _agreement.compare(plan, right, right))
    assert not any(agreement.holds for agreement in _agreement.compare(plan, right, wrong))


def test_two_sizes_tell_the_fixed_cost_from_the_cost_of_a_trial():
    cost = line(10, 25.0, 30, 65.0)
    assert (cost.fixed, cost.per_trial, cost.of(100)) == (5.0, 2.0, 205.0)


@pytest.mark.slow
def test_training_reaches_a_share_of_the_rate_of_products():
    assert 0 < __main__._gemm(quick=True) < 1.5


@pytest.mark.slow
def test_the_contenders_commands_leave_stores_that_agree(tmp_path):
    bench = __main__.Bench(__main__.QUICK, tmp_path)
    plan = tuple(c for c in bench.plan if c.seed == 0 and not c.regularizers)
    bench._time(__main__.OURS, len(plan), partial(__main__._ours, (*__main__.QUICK.small, "--limit", "6")))
    bench._peer(__main__.TUNED, plan)
    bench._peer(__main__.PLAIN, plan[:1])
    stores = [
        _agreement.results(bench.store(name)) for name in (__main__.OURS, __main__.TUNED, __main__.PLAIN)
    ]
    assert {c.id for c in plan} == stores[1].keys() < stores[0].keys()
    assert stores[2].keys() == {plan[0].id}
    assert all(timing.seconds > 1 for timing in bench.timings)
    for peer in stores[1:]:
        agreements = list(_agreement.compare(plan, stores[0], peer))
        assert agreements
        assert all(agreement.holds and agreement.without_noise for agreement in agreements)


def test_the_last_line_of_the_benchmark_is_its_figures_in_json(monkeypatch, capsys):
    seconds = {"ours": (10.0, 20.0), "tuned": (20.0, 60.0), "plain": (30.0, 50.0)}

    def timed(contender, trials, command, keep):
        small = not keep.exists()
        _store(keep, _plan.plan_of(__main__.QUICK.large))
        return Timing(contender, trials, seconds[contender][0 if small else 1], 0.0)

    monkeypatch.setattr(__main__, "timed", timed)
    monkeypatch.setattr(
        __main__.subprocess, "run", lambda *_, **__: SimpleNamespace(stdout="[[1024, 0, 100, 80, 0.5]]")
    )
    assert __main__.main(["--quick"]) == 0
    figures = json.loads(capsys.readouterr().out.splitlines()[-1])
    # 6 and 24 trials: ours takes 10 / 18 s each, the tuned peer 40 / 18; of 2 and 4 the plain one 10, so 250 for all.
    assert figures == {
        "plain_ratio": 12.5, "tuned_ratio": 3.0, "plain_ratio_per_trial": 18.0, "tuned_ratio_per_trial": 4.0,
        "gemm_share": 0.8,
    }  # fmt: skip


def _store(file: Path, plan: _plan.Plan) -> None:
    """An MLflow database, as far as it is read, in which every trial has the same results."""
    with contextlib.closing(sqlite3.connect(file)) as database:
        for table in ("tags", "params", "latest_metrics"):
            database.execute(f"create table if not exists {table} (run_uuid, key, value)")
        database.executemany("insert into tags values (?, 'trial', ?)", [(c.id, c.id) for c in plan])
        rows = [(c.id, metric, 0.5) for c in plan for metric in _agreement.METRICS]
        database.executemany("insert into latest_metrics values (?, ?, ?)", rows)
        database.commit()
