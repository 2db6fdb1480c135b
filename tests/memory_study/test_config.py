from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memory_study import regularizers
from memory_study.cohort import Cohort
from memory_study.config import COHORT_FIELDS, FIELDS, REPLICA_FIELDS, ConfigError, TrialConfig
from memory_study.identity import parse_integers, parse_strengths

strengths = st.dictionaries(st.sampled_from(regularizers.kinds()), st.floats(0, 0.99))


@given(strengths)
def test_a_strength_of_zero_is_the_unregularized_trial(chosen):
    without = {kind: strength for kind, strength in chosen.items() if strength != 0}
    zeros = dict.fromkeys(regularizers.kinds(), 0.0)
    assert TrialConfig(regularizers=zeros | chosen).id == TrialConfig(regularizers=without).id


@given(strengths)
def test_regularizers_are_one_trial_in_any_order(chosen):
    forwards, backwards = tuple(chosen.items()), tuple(reversed(chosen.items()))
    assert TrialConfig(regularizers=forwards) == TrialConfig(regularizers=backwards)


def test_epochs_to_measure_are_one_trial_in_any_order_and_however_often_named():
    assert TrialConfig(csr_epochs=(4, 1, 4)) == TrialConfig(csr_epochs=(1, 4))


@pytest.mark.parametrize("kind", ["randX", "randY"])
def test_noise_of_level_zero_is_no_noise(kind):
    assert TrialConfig(corruption=kind, corruption_level=0.0).id == TrialConfig().id


FLOATS = [name for name, field in FIELDS.items() if field.type == "float"]


@pytest.mark.parametrize("name", FLOATS)
def test_a_whole_number_is_the_same_trial_as_an_integer_and_as_a_float(name):
    noise = {"corruption": "randY", "corruption_level": 1}
    whole = 0 if "momentum" in name or name == "pruned_share" else 1
    one, other = (TrialConfig(**noise | {name: kind(whole)}) for kind in (int, float))
    assert one.id == other.id
    assert one.params() == other.params()


ABOVE_ZERO = ("learning_rate", "batch_norm_epsilon", "sharpness_loss", "sharpness_tolerance")


@pytest.mark.parametrize("name", [name for name in FLOATS if name not in ABOVE_ZERO])
def test_minus_zero_is_zero(name):
    assert TrialConfig(**{name: -0.0}).id == TrialConfig(**{name: 0.0}).id


@pytest.mark.parametrize("name", FLOATS)
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_numbers_that_are_not_finite_make_no_trial(name, value):
    with pytest.raises(ConfigError):
        TrialConfig(**{"corruption": "randY", "corruption_level": 1.0} | {name: value})


def test_every_field_counts_in_the_id():
    other = {
        "dataset": "mnist", "dataset_digest": "ab", "validation": "test", "corruption": "randY", "model": "cnn-zhang",
        "input_scaling": "unit", "regularizers": {"dropout": 0.5}, "csr_epochs": (1,), "dtype": "float64",
        "stop_at_convergence": True, "validation_schedule": "curve", "measures": ("training_examples",),
        "corruption_seed": 7, "labels": "example", "pruning_score": "el2n", "pruned_end": "high",
    }  # fmt: skip
    base = TrialConfig(corruption="randX", corruption_level=0.25, pruning_score="loss", pruned_share=0.25)
    ids = {base.id}
    for name in FIELDS:
        value = other.get(name)
        if value is None:
            value = getattr(base, name) + (0.125 if name in FLOATS else 1)
        ids.add(replace(base, **{name: value}).id)
    assert len(ids) == len(FIELDS) + 1


def test_a_trial_that_drops_nothing_is_the_unpruned_one_and_chance_has_no_ends():
    plain = TrialConfig()
    for dropping in (
        {"pruning_score": "loss"},
        {"pruned_share": 0.5},
        {"pruned_end": "high", "scoring_epochs": 3},
    ):
        assert TrialConfig(**dropping) == plain
    half = TrialConfig(pruning_score="random", pruned_share=0.5)
    assert replace(half, pruned_end="high") == half
    assert (half.kept_examples, plain.kept_examples) == (500, 1000)
    assert half.name == "50 % dropped, random · real · seed 0"
    both = replace(half, regularizers={"dropout": 0.5}, pruning_score="el2n", pruned_end="high")
    assert both.name == "dropout 0.5 · 50 % dropped, high el2n · real · seed 0"


@pytest.mark.parametrize("share", [0.0, 0.5])
def test_an_unknown_score_is_refused_whatever_it_drops(share):
    with pytest.raises(
        ConfigError, match=r"--pruning-score 'magic' is not known; choose from none, el2n, forgetting"
    ):
        TrialConfig(pruning_score="magic", pruned_share=share)


def test_what_cannot_be_pruned_is_refused():
    with pytest.raises(ConfigError, match=r"--pruned-share 0\.9 of 3 examples leaves none"):
        TrialConfig(train_size=3, pruning_score="loss", pruned_share=0.9)
    with pytest.raises(
        ConfigError, match=r"a share of 0\.0001 of 200 examples drops none; use at least 0\.005$"
    ):
        TrialConfig(train_size=200, pruning_score="loss", pruned_share=0.0001)
    with pytest.raises(ConfigError, match=r"--pruning-score loss_sensitivity unrolls .* not of cnn-zhang"):
        TrialConfig(model="cnn-zhang", pruning_score="loss_sensitivity", pruned_share=0.5)
    with pytest.raises(ConfigError, match="of which 257 are kept, in batches of 128 leaves a batch of one"):
        TrialConfig(model="cnn-zhang", train_size=300, pruning_score="loss", pruned_share=43 / 300)


def test_the_seed_of_the_corruption_counts_only_where_there_is_one_of_its_own():
    real = TrialConfig(seed=3)
    assert replace(real, corruption_seed=5).id == real.id
    noisy = TrialConfig(seed=3, corruption="randY", corruption_level=0.5)
    assert replace(noisy, corruption_seed=3).id == noisy.id
    assert replace(noisy, corruption_seed=5).noise_seed == 5
    assert noisy.noise_seed == 3


def test_all_problems_are_said_at_once():
    with pytest.raises(ConfigError) as raised:
        TrialConfig(corruption="randY", corruption_level=40, epochs=0, model="resnet", learning_rate=-1)
    text = "\n".join(raised.value.problems)
    assert len(raised.value.problems) == 4
    assert "noise level 40 is not a fraction; use 0 <= level <= 1 (0.4 for 40 %)" in text
    assert "--epochs 0 is too small; use 1 or more" in text
    assert "--model 'resnet' is not known; choose from mlp, cnn-keras, cnn-zhang" in text
    assert "--learning-rate -1 is not a step size" in text


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"corruption_level": 0.5}, "has no kind"),
        ({"momentum": 1.0}, "--momentum 1 is out of range"),
        ({"csr_radius": -1.0}, "--csr-radius -1 is out of range"),
        ({"csr_epochs": (3, 61)}, "use epochs from 0 to 60"),
        (
            {"epochs": 90, "csr_epochs": tuple(range(1, 65))},
            "--csr-epochs makes curves of 65 points, the last included; use 64 or fewer",
        ),
        ({"sensitivity_points": 65}, "--sensitivity-points makes curves of 65 points"),
        ({"regularizers": {"droput": 0.5}}, "'droput' is not known; choose from adversarial, dropout"),
        ({"regularizers": {"dropout": 1.0}}, r"use 0 <= strength < 1"),
        ({"regularizers": {"adversarial": 1.5}}, r"use 0 <= strength <= 1"),
        ({"regularizers": {"weight_decay": -1.0}}, "use a finite number of at least 0"),
        ({"regularizers": {"input_noise": math.inf}}, "use a finite number of at least 0"),
        ({"model": "cnn-keras", "train_size": 129}, "batch of one example"),
        ({"model": "cnn-zhang", "batch_size": 1}, "batch of one example"),
    ],
)
def test_what_makes_no_trial_is_refused_with_the_next_step(fields, said):
    with pytest.raises(ConfigError, match=said):
        TrialConfig(**fields)


def test_a_curve_may_have_64_points():
    for last in (64, 90):
        assert TrialConfig(epochs=last, csr_epochs=(*range(1, 64), last), sensitivity_points=64)


def test_a_multilayer_perceptron_may_have_a_batch_of_one_example():
    assert TrialConfig(train_size=129, batch_size=128)


@given(strengths, st.lists(st.integers(0, 60)).map(tuple), st.floats(1e-6, 10))
def test_params_read_back_as_the_config(chosen, epochs, rate):
    config = TrialConfig(regularizers=chosen, csr_epochs=epochs, learning_rate=rate)
    params = config.params()
    assert params.keys() == FIELDS.keys()
    assert tuple(parse_strengths(params["regularizers"]).items()) == config.regularizers
    assert parse_integers(params["csr_epochs"]) == config.csr_epochs
    assert float(params["learning_rate"]) == config.learning_rate


def test_a_person_can_read_a_trials_name():
    named = TrialConfig(regularizers={"input_noise": 2.0}, corruption="randX", corruption_level=0.4, seed=3)
    assert named.name == "input noise 2 · randX 0.4 · seed 3"
    assert TrialConfig().name == "mlp 128 · 1000 examples · real · seed 0"
    assert TrialConfig(labels="example").name == "mlp 128 · 1000 classes · real · seed 0"


def test_each_field_says_who_must_agree_on_it():
    assert set(COHORT_FIELDS) | set(REPLICA_FIELDS) == set(FIELDS)
    assert not set(COHORT_FIELDS) & set(REPLICA_FIELDS)


def test_a_cohort_has_the_same_id_in_any_order_and_another_one_for_other_trials():
    configs = tuple(TrialConfig(seed=seed) for seed in range(3))
    assert Cohort(configs).id == Cohort(configs[::-1]).id != Cohort(configs[:2]).id


@pytest.mark.parametrize("name", COHORT_FIELDS)
def test_trials_that_disagree_on_a_cohort_field_are_no_cohort(name):
    base = TrialConfig(pruning_score="loss", pruned_share=0.25)
    other = {
        "csr_epochs": (1,),
        "measures": ("training_examples",),
        "validation": "test",
        "validation_schedule": "curve",
        "model": "cnn-zhang",
        "input_scaling": "unit",
        "dtype": "float64",
        "labels": "example",
    }
    value = other.get(name)
    if value is None:
        value = (
            "else"
            if isinstance(getattr(base, name), str)
            else getattr(base, name) + (0.125 if name in FLOATS else 1)
        )
    with pytest.raises(ValueError, match=rf"must agree on {name}$"):
        Cohort((base, replace(base, **{name: value}, seed=1)))


def test_trials_that_differ_in_replica_fields_only_are_a_cohort():
    noisy = TrialConfig(
        corruption="randY", corruption_level=0.5, learning_rate=0.1, regularizers={"dropout": 0.5}
    )
    assert Cohort((TrialConfig(), noisy, TrialConfig(seed=1))).halves()[0].configs == (TrialConfig(),)


def test_no_trials_or_one_trial_twice_are_no_cohort():
    with pytest.raises(ValueError, match="at least one"):
        Cohort(())
    with pytest.raises(ValueError, match="once"):
        Cohort((TrialConfig(), TrialConfig()))
