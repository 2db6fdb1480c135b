"""A figure or claim of a new sweep has trials to be tested with, though nobody invented any for it."""

from __future__ import annotations

import pkgutil

import invented_scenes
import pytest
from invented_scenes import of_any, planned

import sweeps
from analysis import _frames, _style, claims, figures
from analysis.claims._finding import judge
from memory_study import record

NAMES = sorted(m.name for m in pkgutil.iter_modules(sweeps.__path__) if not m.name.startswith("_"))
SCENES = ("nothing", "one trial", "many", "two panels", "troubled", "all diverged")
every_sweep = pytest.mark.parametrize("sweep", NAMES)


@every_sweep
def test_any_sweep_has_trials_that_are_what_their_scene_says(sweep: str) -> None:
    planned_trials, trials = planned(sweep, (0, 1, 2)), {name: of_any(sweep, name).trials for name in SCENES}
    assert [len(trials[name]) for name in SCENES[:2]] == [0, 1]
    assert set(trials["many"].index) == {config.id for config in planned_trials}
    assert trials["many"]["diverged"].sum() == 0
    assert trials["troubled"]["diverged"].sum() == 1
    assert trials["all diverged"]["diverged"].all()
    assert set(trials["many"]["sweep"]) == {sweep}
    panels = _frames.panels(trials["two panels"])
    assert panels.nunique() == 2 * _frames.panels(of_any(sweep, "many").trials).nunique()


@every_sweep
def test_the_trials_of_any_sweep_have_all_that_is_recorded_in_its_ranges(sweep: str) -> None:
    many = of_any(sweep, "many")
    assert {*record.CURVES, *record.SCALARS} <= set(many.trials)
    assert set(many.curves["metric"]) == set(record.CURVES)
    assert many.curves["value"].between(0, 1.1).all()
    assert (many.trials["csr_train_low"] < many.trials["csr_train"]).all()
    assert many.trials["regularizers"].notna().all()


def test_a_sweep_with_scenes_of_its_own_is_shown_these_and_another_one_the_others() -> None:
    assert invented_scenes.scene("noise", "many") is not of_any("noise", "many")
    assert invented_scenes.scene("regularization", "many") is of_any("regularization", "many")


@pytest.mark.parametrize("scene", SCENES)
def test_figures_and_claims_take_such_trials(scene: str) -> None:
    for name in ("capacity", "convergence", "regularization", "training_curves", "noise_accuracy_csr"):
        figure = figures.find(name)
        frames = of_any(figure.SWEEP, scene)
        table = figure.tabulate(frames.trials, frames.curves)
        with _style.look():
            figure.draw(table).draw_without_rendering()
        for claim in figure.CLAIMS:
            assert judge(claims.find(claim).findings(frames.trials, frames.curves))
