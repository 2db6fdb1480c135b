"""Wide kernels are laid out with gaps between their rows, which nobody but the processor may notice."""

from __future__ import annotations

from dataclasses import replace

import torch

from memory_study.config import TrialConfig
from memory_study.models import Stack

SHAPES = {"kernel0": (3, 1024), "bias0": (1, 1024), "kernel1": (1024, 10)}


def test_wide_rows_are_kept_apart_and_narrow_ones_are_not():
    stack = Stack.empty(SHAPES, 2, torch.empty(0))
    assert stack["kernel0"].stride() == (3 * 1040, 1040, 1)
    assert stack["kernel1"].is_contiguous()


def test_an_update_of_the_flat_tensor_reaches_every_element_and_copies_keep_the_layout():
    generator = torch.Generator().manual_seed(0)
    rows = [
        {name: torch.rand(shape, generator=generator) for name, shape in SHAPES.items()} for _ in range(2)
    ]
    stack = Stack.of(SHAPES, rows, torch.empty(0))
    stack.flat.add_(stack.keep([1, 0]).flat)
    for name in SHAPES:
        assert torch.equal(stack[name][0], rows[0][name] + rows[1][name])


def test_a_stack_of_wide_nets_gives_each_trial_what_it_gets_alone(splits, train, measured):
    data = splits(train=42)
    for momentum in (0.0, 0.9):
        base = TrialConfig(
            train_size=42, batch_size=16, width=1024, momentum=momentum, epochs=2, csr_examples=20
        )
        others = (
            replace(base, regularizers={"dropout": 0.5}),
            replace(base, regularizers={"weight_decay": 0.1}),
        )
        configs = [base, replace(base, seed=1), *others]
        alone = [record for config in configs for record in train([config], data)]
        for record, reference in zip(train(configs, data), alone, strict=True):
            assert measured(record) == measured(reference)
