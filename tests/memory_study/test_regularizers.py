"""The contract of regularizers, over every file found by name."""

from __future__ import annotations

import math

import pytest
import scipy.stats
import torch

from memory_study import regularizers
from memory_study.config import MODELS, TrialConfig
from memory_study.record import epoch_grid
from memory_study.regularizers._perturbation import Perturbation, group
from memory_study.regularizers.dropout import inverted_mask
from memory_study.regularizers.mixup import lesser_share
from memory_study.rng import EpochDraws, ReplicaDraws

CPU = torch.device("cpu")
SHAPES = {"mlp": {"side": 6}, "cnn-keras": {"side": 25}, "cnn-zhang": {"side": 7}}
GRID = [(kind, strength) for kind in regularizers.kinds() for strength in regularizers.find(kind).grid]
every_kind = pytest.mark.parametrize("kind", regularizers.kinds())
every_model = pytest.mark.parametrize("model", MODELS)


def config(model="mlp", **fields):
    shared = {"train_size": 24, "batch_size": 10, "epochs": 3, "csr_examples": 0, "csr_iterations": 2,
              "csr_radius": 30.0, "csr_gradient_step": 20.0, "width": 8 if model == "mlp" else 2}  # fmt: skip
    return TrialConfig(model=model, **shared | fields)


def losses(record):
    return [loss for _, loss in record.curves["train_loss"]]


@every_kind
def test_a_regularizer_says_what_its_strength_is_and_where_it_ends(kind):
    regularizer = regularizers.find(kind)
    assert regularizer.meaning
    assert list(regularizer.grid) == sorted(set(regularizer.grid))
    assert 0 not in regularizer.grid
    assert not [problem for strength in regularizer.grid for problem in regularizers.problems(kind, strength)]
    for wrong in (-0.1, math.nan, math.inf):
        (problem,) = regularizers.problems(kind, wrong)
        assert regularizer.meaning in problem


@every_kind
def test_strength_zero_is_the_control(kind):
    assert config(regularizers={kind: 0.0}) == config()
    assert config(regularizers={kind: 0.0}).id == config().id


@every_model
@every_kind
def test_a_tiny_strength_trains_almost_like_the_control(splits, train, model, kind):
    data = splits(train=24, others=6, **SHAPES[model])
    # Running statistics see the adversarial batches however little these weigh, so here they stay as they were.
    fields = {"dtype": "float64", "epochs": 2, "batch_norm_momentum": 0.0}
    control, tiny = train([config(model, **fields), config(model, **fields, regularizers={kind: 1e-9})], data)
    assert losses(tiny) == pytest.approx(losses(control), abs=1e-5)


@every_model
@every_kind
def test_a_regularizer_changes_training(splits, train, model, kind):
    data = splits(train=24, others=6, **SHAPES[model])
    strength = max(regularizers.find(kind).grid)
    control, regularized = train([config(model), config(model, regularizers={kind: strength})], data)
    assert losses(regularized)[-1] != pytest.approx(losses(control)[-1], rel=1e-4)


@every_model
def test_every_strength_of_the_grid_trains_on_every_model(splits, train, model):
    data = splits(train=24, others=6, **SHAPES[model])
    configs = [config(model, epochs=1, regularizers={kind: strength}) for kind, strength in GRID]
    for record in train(configs, data):
        assert record.scalars["epochs_trained"] == 1
        assert record.scalars["diverged"] == 0


@every_kind
def test_strengths_of_one_kind_are_different_trials_of_the_same_stack(splits, train, kind):
    grid = regularizers.find(kind).grid
    # Long enough that patience of different lengths runs out at different epochs.
    configs = [config(regularizers={kind: strength}, epochs=60, learning_rate=0.05) for strength in grid]
    records = train(configs, splits(train=24))
    assert len({tuple(losses(record)) for record in records}) == len(grid)


def test_an_unknown_regularizer_is_answered_with_the_list():
    with pytest.raises(ValueError, match=r"'droput' is not known; choose from .*dropout.*weight_decay"):
        regularizers.find("droput")


@pytest.fixture
def draws():
    epoch = EpochDraws(1, CPU, torch.float64)
    return lambda seeds: ReplicaDraws(epoch, seeds)


@pytest.mark.parametrize("kind", ["dropout", "input_dropout"])
def test_dropout_silences_the_given_share_and_keeps_the_mean(draws, kind):
    probabilities = torch.tensor([0.1, 0.5, 0.9], dtype=torch.double)
    regularizer, shape = regularizers.find(kind), (200, 300)
    site = ("dense0",) if kind == "dropout" else ()
    hook = regularizer.hidden_factor if kind == "dropout" else regularizer.input_factor
    factor = hook(probabilities, shape, draws((0, 0, 0)), *site)
    assert (factor == 0).double().mean((1, 2)).tolist() == pytest.approx([0.1, 0.5, 0.9], abs=0.01)
    assert factor.mean((1, 2)).tolist() == pytest.approx([1, 1, 1], abs=0.05)
    # Nested: what a high probability keeps, a lower one keeps.
    assert not ((factor[2] > 0) & (factor[1] == 0)).any()
    assert not ((factor[1] > 0) & (factor[0] == 0)).any()


def test_a_mask_is_zero_at_the_smallest_uniform_and_kept_at_the_largest():
    uniforms = torch.tensor([[0.0, 1 - 2**-24]])
    for probability in (1e-6, 0.5, 0.9):
        mask = inverted_mask(uniforms.clone(), torch.tensor([probability]))[0].tolist()
        assert mask == [0, pytest.approx(1 / (1 - probability))]


@pytest.mark.parametrize("kind", ["input_noise", "hidden_noise"])
def test_noise_has_its_strength_as_standard_deviation(draws, kind):
    strengths = torch.tensor([0.1, 2.0], dtype=torch.double)
    regularizer, site = regularizers.find(kind), ("dense0",) if kind == "hidden_noise" else ()
    noise = getattr(regularizer, kind)(strengths, (200, 300), draws((0, 1)), *site)
    assert noise.std((1, 2)).tolist() == pytest.approx([0.1, 2.0], rel=0.02)
    assert noise.mean((1, 2)).abs().max() < 0.05


ALPHAS = (0.05, 0.2, 1.0, 8.0)


def test_the_lesser_share_of_mixup_is_that_of_a_beta_variable(draws):
    uniforms = draws((0,)).uniform("mixup weights", (20_000, 2))[0]
    for alpha in ALPHAS:
        found = lesser_share(uniforms, torch.tensor(alpha, dtype=torch.double))
        # P(min(L, 1 - L) <= x) = 2 P(L <= x), because Beta(alpha, alpha) is symmetric.
        expected = scipy.stats.beta(alpha, alpha)
        assert scipy.stats.kstest(found.numpy(), lambda x, e=expected: 2 * e.cdf(x)).pvalue > 0.01


def test_one_draw_of_mixup_serves_every_alpha_and_a_larger_one_mixes_more(draws):
    uniforms = draws((0,)).uniform("mixup weights", (500, 2))[0]
    shares = torch.stack([lesser_share(uniforms, torch.tensor(alpha)) for alpha in ALPHAS])
    assert (shares.diff(dim=0) >= 0).all()


@pytest.mark.parametrize("alpha", [1e-9, 0.1, 32.0, 1e6])
def test_mixup_weighs_two_examples_even_at_the_ends_of_its_draws(alpha):
    ends = torch.tensor([0.0, 2**-24, 0.25, 0.5, 0.75, 1 - 2**-24])
    shares = lesser_share(torch.cartesian_prod(ends, ends), torch.tensor(alpha))
    assert ((shares >= 0) & (shares <= 0.5)).all()


def test_mixup_pairs_the_examples_of_a_batch_one_to_one(draws):
    strengths = torch.tensor([0.2, 1.0, 1.0], dtype=torch.double)
    partners, weights = regularizers.find("mixup").mixing(strengths, 50, draws((0, 0, 1)))
    assert all(sorted(row) == list(range(50)) for row in partners.tolist())
    assert partners[0].equal(partners[1])
    assert not partners[0].equal(partners[2])
    assert weights[0] < weights[1]


def test_targets_are_the_labels_themselves_where_nothing_mixes_or_smooths(draws):
    like, labels = torch.zeros(2, 5, 3, dtype=torch.double), torch.randint(4, (2, 5))
    groups = group([{"dropout": 0.5}, {"sam": 0.1}], [0, 0], like)
    assert Perturbation(groups, EpochDraws(1, CPU, torch.double)).targets(like, labels, 4) is labels


def test_smoothed_targets_leave_the_label_its_share_and_the_rest_to_all_classes():
    like, labels = torch.zeros(2, 5, 3, dtype=torch.double), torch.randint(4, (2, 5))
    groups = group([{"label_smoothing": 0.2}, {"label_smoothing": 0.6}], [0, 0], like)
    targets = Perturbation(groups, EpochDraws(1, CPU, torch.double)).targets(like, labels, 4)
    for row, share in enumerate((0.2, 0.6)):
        expected = torch.full((5, 4), share / 4, dtype=torch.double)
        expected[torch.arange(5), labels[row]] += 1 - share
        torch.testing.assert_close(targets[row], expected)


def test_training_that_waited_long_enough_ends_and_keeps_its_last_weights(splits, train):
    data = splits(train=24, noise=0.5)
    fields = {"epochs": 120, "learning_rate": 0.05, "corruption": "randY", "corruption_level": 0.5}
    seeds = range(4)
    strengths = [0.0, *regularizers.find("early_stopping").grid]
    configs = [
        config(seed=seed, regularizers={"early_stopping": s}, **fields) for seed in seeds for s in strengths
    ]
    stopped = []
    for trial, record in zip(configs, train(configs, data), strict=True):
        if not trial.regularizers:
            control = record
            continue
        last = int(record.scalars["epochs_trained"])
        patience = round(1 / trial.regularizers[0][1])
        if last < 120:
            assert last == record.scalars["best_validation_epoch"] + patience
            stopped.append(last)
        # As the control was then: nothing is restored, and training is measured where it ends.
        for name in ("train_accuracy", "validation_accuracy"):
            *before, end = record.curves[name]
            assert end[0] == last
            assert before == [point for point in control.curves[name] if point[0] < last]
    grid = set(epoch_grid(120))
    assert len(set(stopped)) > 5
    assert set(stopped) - grid


def test_replicas_of_one_seed_share_their_draws_and_others_do_not(draws):
    rows = draws((3, 3, 4)).normal("input noise", (5,))
    assert rows[0].equal(rows[1])
    assert not rows[0].equal(rows[2])


def test_each_step_draws_anew_and_each_epoch_too():
    def three(epoch):
        draws = EpochDraws(epoch, CPU, torch.float32)
        found = []
        for _ in range(3):
            draws.next_step()
            found.append(tuple(draws.draw(0, "dropout dense0", (4,), normal=False).tolist()))
        return found

    assert len({*three(1), *three(2)}) == 6
    assert three(1) == three(1)


def test_what_else_is_drawn_does_not_change_a_draw():
    def draw(others):
        draws = EpochDraws(1, CPU, torch.float32)
        for seed, purpose in others:
            draws.draw(seed, purpose, (7,), normal=True)
        return draws.draw(0, "input noise", (4,), normal=True)

    assert draw([]).equal(draw([(0, "dropout dense0"), (1, "input noise")]))
