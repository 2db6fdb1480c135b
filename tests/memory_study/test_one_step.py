"""Stacks against plain torch: ``nn.Sequential``, autograd and ``optim.SGD``, one net at a time, in float64."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from torch import nn

from memory_study import regularizers
from memory_study.cohort import Cohort
from memory_study.config import MODELS, TrialConfig
from memory_study.corruption import corrupted_examples, random_inputs, random_labels
from memory_study.rng import EpochDraws, stream
from memory_study.train import Training

CPU = torch.device("cpu")
SIDES = {"mlp": 6, "cnn-keras": 25, "cnn-zhang": 7}
SITES = {"mlp": ("dense0", "dense1"), "cnn": ("conv0", "conv1", "dense0", "dense1")}
COMBINATIONS = [
    (),
    *((kind,) for kind in regularizers.kinds()),
    ("adversarial", "dropout"),
    ("label_smoothing", "mixup"),
    ("adversarial", "dropout", "sam", "weight_decay"),
    regularizers.kinds(),
]


class PlainTraining:
    """One trial, the way a textbook would train it. Only the draws and the first weights are the project's."""

    def __init__(self, config, splits, net):
        self.config, self.net = config, net.double()
        self.strengths = dict(config.regularizers)
        self.mean, self.std = (torch.tensor(v).view(-1, 1, 1) for v in (splits.mean, splits.std))
        # Scaled in float32, as the tensors of a data set are.
        scaled = (splits.train_inputs - self.mean) / self.std
        bank = random_inputs(splits.train_inputs.shape, splits.mean, splits.std, config.seed)
        bank = (bank - self.mean) / self.std
        mask = corrupted_examples(len(scaled), config.corruption_level, config.seed)
        labels = random_labels(len(scaled), len(splits.classes), config.seed)
        self.inputs = scaled.where(~mask[:, None, None, None] | (config.corruption != "randX"), bank).double()
        self.labels = splits.train_labels.where(~mask | (config.corruption != "randY"), labels)
        self.kernels = [parameter for parameter in net.parameters() if parameter.dim() > 1]
        self.optimizer = torch.optim.SGD(net.parameters(), lr=config.learning_rate, momentum=config.momentum)

    def epoch(self, epoch):
        self.draws = EpochDraws(epoch, CPU, torch.float64)
        order = torch.randperm(len(self.labels), generator=stream(self.config.seed, "batches", epoch))
        for batch in order.split(self.config.batch_size):
            self.draws.next_step()
            self.optimizer.zero_grad()
            inputs, targets = self.mixed(self.inputs[batch], self.labels[batch])
            moved = self.moved(inputs) if "adversarial" in self.strengths else None
            self.loss(inputs, moved, targets).backward()
            if "sam" in self.strengths:
                self.sharpen(lambda i=inputs, m=moved, t=targets: self.loss(i, m, t), self.strengths["sam"])
            penalty = sum((kernel**2).sum() for kernel in self.kernels)
            (self.strengths.get("weight_decay", 0) * penalty).backward()
            self.optimizer.step()

    def loss(self, inputs, moved, targets):
        """Cross-entropy with each of ``targets``, pairs of a weight and labels, at the inputs and where they moved to."""
        weight = self.strengths.get("adversarial", 0)
        places = [(1 - weight, inputs), (weight, moved)] if weight else [(1, inputs)]
        smoothing = self.strengths.get("label_smoothing", 0)
        loss = 0
        for share, place in places:
            logits = self.forward(place)
            for weight, labels in targets:
                entropy = nn.functional.cross_entropy(logits, labels, label_smoothing=smoothing)
                loss = loss + share * weight * entropy
        return loss

    def mixed(self, inputs, labels):
        """Inputs averaged with those of a permutation, and the labels of both with their weights."""
        alpha = self.strengths.get("mixup", 0)
        if alpha == 0:
            return inputs, [(1, labels)]
        partners = self.draws.draw(self.config.seed, "mixup partners", labels.shape, normal=False).argsort()
        first, second = self.draws.draw(self.config.seed, "mixup weights", (2,), normal=False)
        freedom = 2 * alpha
        student = (freedom * (first ** (-2 / freedom) - 1)).sqrt() * (2 * math.pi * second).cos()
        share = (1 + student / (freedom + student**2).sqrt()) / 2
        share = max(share, 1 - share)
        return share * inputs + (1 - share) * inputs[partners], [
            (share, labels),
            (1 - share, labels[partners]),
        ]

    def sharpen(self, loss, radius):
        """Replace the gradients by those a step along them, with the running statistics as they were before it."""
        parameters = list(self.net.parameters())
        statistics = copy.deepcopy(dict(self.net.named_buffers()))
        length = torch.cat([parameter.grad.flatten() for parameter in parameters]).norm()
        weights = [parameter.detach().clone() for parameter in parameters]
        with torch.no_grad():
            for parameter in parameters:
                parameter.add_(radius * parameter.grad / length)
        self.optimizer.zero_grad()
        loss().backward()
        with torch.no_grad():
            for parameter, weight in zip(parameters, weights, strict=True):
                parameter.copy_(weight)
            for name, buffer in self.net.named_buffers():
                buffer.copy_(statistics[name])

    def forward(self, inputs):
        values = inputs + self.normal("input noise", inputs) * self.strengths.get("input_noise", 0)
        values = self.dropped("input dropout", values, self.strengths.get("input_dropout", 0))
        sites = iter(SITES[self.config.model.partition("-")[0]])
        for module in self.net:
            values = module(values)
            if isinstance(module, nn.ReLU):
                site = next(sites)
                sd = self.strengths.get("hidden_noise", 0)
                values = values + self.normal(f"hidden noise {site}", values) * sd
                if site.startswith("dense"):
                    values = self.dropped(f"dropout {site}", values, self.strengths.get("dropout", 0))
        return values

    def normal(self, purpose, like):
        return self.draws.draw(self.config.seed, purpose, tuple(like.shape), normal=True).view(like.shape)

    def dropped(self, purpose, values, probability):
        if probability == 0:
            return values
        uniforms = self.draws.draw(self.config.seed, purpose, tuple(values.shape), normal=False)
        return torch.where(uniforms > probability, values / (1 - probability), 0.0)

    def moved(self, inputs):
        """Langevin search in pixels, in eval mode."""
        net = copy.deepcopy(self.net).eval()
        pixels = inputs * self.std + self.mean
        found, predicted = pixels.clone(), net(inputs).argmax(1)
        c = self.config
        for iteration in range(c.csr_iterations):
            found.requires_grad_()
            logits = net((found - self.mean) / self.std)
            loss = nn.functional.cross_entropy(logits, predicted, reduction="sum")
            (gradient,) = torch.autograd.grad(loss, found)
            noise = self.normal(f"adversarial {iteration}", found)
            step = c.csr_gradient_step * gradient.sign() + c.csr_noise_step * noise
            radius = c.csr_radius / 255
            found = (found.detach() + step / 255).clamp(pixels - radius, pixels + radius)
        return (found - self.mean) / self.std


def plain_nets(training):
    """Each replica of the stack as a net of its own."""
    nets = []
    for row in range(len(training.configs)):
        one = slice(row, row + 1)
        layers, state = training.network.layers(training.parameters.rows(one), training.buffers.rows(one))
        net = nn.Sequential(*[getattr(nn, kind)(**arguments) for kind, arguments in layers]).double()
        net.load_state_dict({name: tensor.clone() for name, tensor in state.items()})
        nets.append(net.train())
    return nets


@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("kinds", COMBINATIONS, ids=lambda kinds: "+".join(kinds) or "none")
@pytest.mark.parametrize("model", MODELS)
def test_a_stack_takes_the_steps_that_plain_torch_takes(splits, model, kinds, momentum):
    data = splits(train=25, side=SIDES[model], channels=2)
    shared = {"model": model, "width": 5 if model == "mlp" else 2, "train_size": 25, "batch_size": 10, "epochs": 2,
              "dtype": "float64", "momentum": momentum, "learning_rate": 0.05, "csr_iterations": 3,
              "csr_radius": 20.0, "csr_gradient_step": 9.0, "csr_noise_step": 9.0}  # fmt: skip
    small, large = ({kind: regularizers.find(kind).grid[i] for kind in kinds} for i in (0, len(kinds) % 4))
    configs = (
        TrialConfig(**shared, regularizers=small),
        TrialConfig(**shared, regularizers=large, seed=1, corruption="randY", corruption_level=0.5),
        TrialConfig(**shared, seed=2, corruption="randX", corruption_level=0.5),
    )
    with torch.no_grad():
        training = Training(Cohort(configs), data, CPU)
        alone = [
            PlainTraining(c, data, n) for c, n in zip(training.configs, plain_nets(training), strict=True)
        ]
        before = [copy.deepcopy(one.net.state_dict()) for one in alone]
        training.train_epoch(1)
        training.train_epoch(2)
    for one in alone:
        one.epoch(1)
        one.epoch(2)
    for net, one, start in zip(plain_nets(training), alone, before, strict=True):
        stacked, plain = net.state_dict(), one.net.state_dict()
        for name, value in plain.items():
            if not name.endswith("num_batches_tracked"):
                torch.testing.assert_close(stacked[name], value, rtol=0, atol=1e-10)
        assert not all(plain[name].equal(start[name]) for name in plain)
