from __future__ import annotations

from collections import Counter

import pytest

from memory_study.config import ConfigError, TrialConfig
from memory_study.record import epoch_grid
from sweeps import capacity, noise
from sweeps._options import Sweep, resolve
from sweeps._plan import distinct


def planned(sweep: Sweep, **given: object) -> tuple[TrialConfig, ...]:
    return distinct(sweep.plan(resolve(sweep, given)))


def test_widths_are_compared_at_one_size_and_sizes_at_one_width() -> None:
    trials = planned(capacity.SWEEP, scale="paper", seeds=(0,), levels=(0.0,))
    shapes = [(t.width, t.train_size) for t in trials]
    assert len(shapes) == len(set(shapes)) == 6 + 5 - 1
    assert {n for w, n in shapes if w != 4096} == {50_000}
    assert {n for w, n in shapes if w == 4096} == {10_000, 20_000, 30_000, 40_000, 50_000}


def test_the_full_grid_crosses_every_width_with_every_size() -> None:
    trials = planned(capacity.SWEEP, scale="paper", seeds=(0,), levels=(0.0,), full_grid=True)
    assert {(t.width, t.train_size) for t in trials} == {
        (w, n) for w in (256, 512, 1024, 2048, 4096, 8192) for n in range(10_000, 60_000, 10_000)
    }


@pytest.mark.parametrize("sweep", [capacity.SWEEP, noise.SWEEP])
def test_real_data_is_level_zero_of_both_kinds_of_noise_once(sweep: Sweep) -> None:
    trials = planned(sweep, scale="smoke", levels=(0.0, 0.3, 1.0))
    kinds = Counter((t.corruption, t.corruption_level) for t in trials)
    expected = {("none", 0.0)} | {(k, x) for k in ("randX", "randY") for x in (0.3, 1.0)}
    assert set(kinds) == expected
    assert len(set(kinds.values())) == 1


@pytest.mark.parametrize("sweep", [capacity.SWEEP, noise.SWEEP])
def test_levels_without_zero_leave_the_real_data_out(sweep: Sweep) -> None:
    assert {t.corruption for t in planned(sweep, scale="smoke", levels=(0.5,))} == {"randX", "randY"}


@pytest.mark.parametrize("sweep", [capacity.SWEEP, noise.SWEEP])
def test_every_level_that_is_no_fraction_is_named(sweep: Sweep) -> None:
    with pytest.raises(ConfigError) as raised:
        planned(sweep, scale="smoke", levels=(0.0, 40.0, -1.0))
    assert raised.value.problems == [
        "--levels 40 is not a fraction; use 0 <= level <= 1",
        "--levels -1 is not a fraction; use 0 <= level <= 1",
    ]


def test_a_cnn_is_a_model_by_its_family_name_too() -> None:
    trials = planned(capacity.SWEEP, scale="smoke", model="cnn", train_sizes=(100,), fixed_train_size=200)
    assert {t.model for t in trials} == {"cnn-keras"}


def test_trials_stop_at_convergence_only_where_asked() -> None:
    assert not any(t.stop_at_convergence for t in planned(capacity.SWEEP, scale="laptop"))
    assert all(
        t.stop_at_convergence for t in planned(capacity.SWEEP, scale="smoke", stop_at_convergence=True)
    )


@pytest.mark.parametrize("epochs", [3, 40, 1000])
def test_the_critical_samples_schedule_follows_the_epochs(epochs: int) -> None:
    for trial in planned(noise.SWEEP, scale="paper", epochs=epochs, csr_points=5):
        assert trial.csr_epochs == epoch_grid(epochs, 5)
        assert trial.csr_epochs[-1] == epochs


def test_epochs_that_are_named_replace_the_schedule() -> None:
    assert {t.csr_epochs for t in planned(noise.SWEEP, scale="smoke", csr_epochs=(2, 7))} == {(2, 7)}


@pytest.mark.parametrize("scale", sorted({*noise.SCALES} - {"smoke"}))
def test_what_the_claims_on_noise_look_at_is_measured_at_every_scale_that_may_tell(scale: str) -> None:
    measured = {"sharpness", "filters"} if scale.endswith("cnn") else {"sharpness"}
    assert {frozenset(trial.measures) for trial in planned(noise.SWEEP, scale=scale)} == {frozenset(measured)}


def test_sharpness_is_measured_on_trials_of_capacity_where_it_is_asked_for() -> None:
    assert {trial.measures for trial in planned(capacity.SWEEP, scale="paper")} == {()}
    asked = planned(capacity.SWEEP, scale="paper", measures=("sharpness",))
    assert {trial.measures for trial in asked} == {("sharpness",)}
