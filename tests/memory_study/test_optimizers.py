from __future__ import annotations

import pytest
import torch

from memory_study.models import Stack
from memory_study.optimizers import SGD, ascend_, learning_rates
from memory_study.regularizers._perturbation import group

SHAPES = {"kernel": (3, 2), "bias": (1, 2)}
RATES = (0.1, 0.03)
DECAYS = (0.0, 0.2)


def gradients(steps: int) -> list[dict[str, torch.Tensor]]:
    generator = torch.Generator().manual_seed(0)
    return [
        {n: torch.randn(2, *s, generator=generator, dtype=torch.double) for n, s in SHAPES.items()}
        for _ in range(steps)
    ]


@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("decays", [(0.0, 0.0), DECAYS])
@pytest.mark.parametrize("terms", [1, 2])
def test_updates_are_those_of_torchs_sgd_with_twice_the_decay_on_kernels_only(momentum, decays, terms):
    given = gradients(6)
    start, steps = given[0], given[1:]
    like = torch.empty(0, dtype=torch.double)
    stack = Stack.of(SHAPES, [{n: start[n][row] for n in SHAPES} for row in range(2)], like)
    optimizer = SGD(stack, momentum, ("kernel",))
    groups = list(group([{"weight_decay": d} if d else {} for d in decays], [0, 0], like))
    rates = torch.tensor(RATES, dtype=torch.double)
    plain = []
    for row in range(2):
        kernel, bias = (start[n][row].clone().requires_grad_() for n in SHAPES)
        settings = [{"params": [kernel], "weight_decay": 2 * decays[row]}, {"params": [bias]}]
        plain.append((torch.optim.SGD(settings, lr=RATES[row], momentum=momentum), kernel, bias))

    def accumulate(into: Stack, keep: float, gradient: dict[str, torch.Tensor]) -> None:
        for name in SHAPES:
            into[name].mul_(keep).sub_(rates[:, None, None] * gradient[name] / terms)

    for gradient in steps:
        parts = [lambda into, keep, g=gradient: accumulate(into, keep, g)] * terms
        optimizer.step(parts, groups, rates)
        for row, (reference, kernel, bias) in enumerate(plain):
            kernel.grad, bias.grad = gradient["kernel"][row], gradient["bias"][row]
            reference.step()
            torch.testing.assert_close(
                optimizer.parameters["kernel"][row], kernel.detach(), rtol=0, atol=1e-12
            )
            torch.testing.assert_close(optimizer.parameters["bias"][row], bias.detach(), rtol=0, atol=1e-12)


def test_a_climb_goes_its_radius_up_the_loss_and_one_without_a_slope_stays():
    given = gradients(2)
    like = torch.empty(0, dtype=torch.double)
    weights, descent = (
        Stack.of(SHAPES, [{n: g[n][row] for n in SHAPES} for row in range(2)], like) for g in given
    )
    for name in SHAPES:
        descent[name][1] = 0
    ascend_(weights, descent, torch.tensor([0.3, 0.3], dtype=torch.double))
    moved = [torch.cat([(weights[n] - given[0][n])[row].flatten() for n in SHAPES]) for row in range(2)]
    uphill = -torch.cat([given[1][n][0].flatten() for n in SHAPES])
    torch.testing.assert_close(moved[0], 0.3 * uphill / uphill.norm())
    assert moved[1].norm() == 0


def test_replicas_that_stay_keep_their_velocity():
    like = torch.empty(0, dtype=torch.double)
    zeros = {name: torch.zeros(shape) for name, shape in SHAPES.items()}
    optimizer = SGD(Stack.of(SHAPES, [zeros] * 3, like), 0.5, ("kernel",))
    speeds = torch.tensor([1.0, 2.0, 4.0], dtype=torch.double)

    def push(into: Stack, keep: float) -> None:
        for name in SHAPES:
            into[name].mul_(keep).add_(speeds[:, None, None])

    def coast(into: Stack, keep: float) -> None:
        into.flat.mul_(keep)

    optimizer.step([push], [], speeds)
    optimizer.keep([2, 0])
    optimizer.step([coast], [], speeds[:2])
    assert optimizer.parameters["bias"][:, 0, 0].tolist() == [4 + 2, 1 + 0.5]


def test_the_learning_rate_halves_every_fifteen_epochs_as_in_the_paper():
    initial = torch.tensor([0.01, 0.1], dtype=torch.double)
    table = {1: 1, 15: 1, 16: 2, 30: 2, 31: 4, 45: 4, 46: 8, 100: 64}
    for epoch, divisor in table.items():
        assert learning_rates(initial, epoch, 15).equal(initial / divisor)


def test_a_schedule_of_zero_epochs_keeps_the_learning_rate():
    initial = torch.tensor([0.01])
    assert learning_rates(initial, 1000, 0).equal(initial)
