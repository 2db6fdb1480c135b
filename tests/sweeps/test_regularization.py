from __future__ import annotations

from collections import Counter

import pytest

from memory_study import regularizers
from memory_study.config import ConfigError, TrialConfig
from sweeps._options import Options, resolve
from sweeps._plan import distinct
from sweeps.regularization import OF_THE_PAPERS, SCALES, SWEEP, plan


def planned(**given: object) -> tuple[TrialConfig, ...]:
    return distinct(plan(resolve(SWEEP, given)))


def strengths(trials: tuple[TrialConfig, ...], kind: str) -> set[float]:
    return {dict(t.regularizers)[kind] for t in trials if [k for k, _ in t.regularizers] == [kind]}


def test_every_setting_trains_on_real_and_on_random_labels_with_every_seed() -> None:
    settings = Counter((t.corruption, t.seed) for t in planned(scale="laptop"))
    assert set(settings) == {(c, s) for c in ("none", "randY") for s in (0, 1, 2)}
    assert len(set(settings.values())) == 1


def test_one_control_serves_all_kinds() -> None:
    controls = [t for t in planned(scale="laptop") if not t.regularizers]
    assert len(controls) == 6


def test_the_paper_scale_has_the_full_grids() -> None:
    trials = planned(scale="paper")
    for kind in set(OF_THE_PAPERS) - {"adversarial"}:
        assert strengths(trials, kind) == set(regularizers.find(kind).grid)
    pairs = {t.regularizers for t in trials if "adversarial" in dict(t.regularizers)}
    assert len(pairs) == 4 * 5
    assert all(set(dict(pair)) == {"adversarial", "dropout"} for pair in pairs)
    assert {t.halving_epochs for t in trials} == {15}
    assert {t.model for t in trials} == {"cnn-keras"}


def test_kinds_beyond_the_papers_add_their_settings_to_the_same_control() -> None:
    papers, beyond = planned(scale="laptop"), set(regularizers.kinds()) - set(OF_THE_PAPERS)
    assert {kind for t in papers for kind, _ in t.regularizers} == set(OF_THE_PAPERS)
    more = planned(scale="laptop", kinds=tuple(sorted(beyond)))
    assert {kind for t in more for kind, _ in t.regularizers} == beyond
    assert {t.id for t in papers} & {t.id for t in more} == {t.id for t in papers if not t.regularizers}
    settings = sum(len(regularizers.find(kind).grid) for kind in beyond)
    assert len(more) == 2 * 3 * (1 + settings)


def test_smoke_is_a_few_small_trials() -> None:
    trials = planned(scale="smoke")
    assert len(trials) == 8
    assert all(t.train_size <= 200 and t.epochs <= 5 for t in trials)


def test_real_data_has_no_noise_level() -> None:
    assert {t.corruption_level for t in planned(scale="smoke") if t.corruption == "none"} == {0.0}


def test_flags_win_over_scales() -> None:
    trials = planned(scale="smoke", width=7, seeds=(5,), kinds=("hidden_noise",), corruption_level=0.4)
    assert {t.width for t in trials} == {7}
    assert {t.seed for t in trials} == {5}
    assert {t.corruption_level for t in trials} == {0.0, 0.4}
    assert len(trials) == 2 * (1 + len(regularizers.find("hidden_noise").grid))


def test_strengths_replace_the_grid_of_their_kind_only() -> None:
    trials = planned(scale="paper", seeds=(0,), strengths=(("dropout", (0.25,)),))
    assert strengths(trials, "dropout") == {0.25}
    assert strengths(trials, "weight_decay") == set(regularizers.find("weight_decay").grid)


def test_a_strength_of_zero_is_the_control() -> None:
    trials = planned(scale="smoke", kinds=("dropout",), strengths=(("dropout", (0.0,)),))
    assert all(not t.regularizers for t in trials)
    assert len(trials) == 2


def test_no_noise_is_no_comparison() -> None:
    with pytest.raises(ConfigError, match="leaves nothing to compare"):
        planned(scale="smoke", corruption_level=0.0)


@pytest.mark.parametrize("scale", SCALES)
def test_scales_set_only_what_is_a_flag(scale: str) -> None:
    assert set(SCALES[scale]) <= {flag.name for flag in SWEEP.flags()}


def test_a_folder_data_set_takes_the_scales_of_any_other() -> None:
    trials = planned(scale="laptop", dataset="folder:pictures", model="cnn-keras", train_size=500, epochs=3)
    assert {(t.dataset, t.model, t.train_size, t.epochs) for t in trials} == {
        ("folder:pictures", "cnn-keras", 500, 3)
    }


def test_options_without_flags_are_the_configs_defaults() -> None:
    assert Options().trial() == TrialConfig()
