"""Which regularizers keep a net from fitting noise at no cost on real data?

Run:    python -m sweeps.regularization --scale smoke | laptop | paper
Cost:   smoke 8 trials, laptop 258 trials in 2 minutes (2 shared CPU cores, measured 2026-11-21), paper 590 trials
Expect: Arpit et al. 2017, figures 10 and 11: regularizers differ in how far they lower the final training
        accuracy on random labels (randY) before they lower the best validation accuracy on real data;
        dropout, with or without adversarial training, lowers the first most at no loss of the second.

Every kind of regularizer of the papers at every strength of its grid trains on real data and on the corrupted data, seed by
seed; one control without any serves all kinds. Adversarial training comes with dropout, as in the paper: its
settings are all pairs of a weight and a drop probability. The paper states no number of epochs for this
experiment: 100 is our choice.

The default kinds are the papers' six, so that the demo stays short and claim C12 is about what they compared. Any other
kind of memory_study/regularizers joins the same experiment, and so the same figure, by its name:
    python -m sweeps.regularization --scale laptop --kinds early_stopping label_smoothing mixup sam
trains 150 trials more; the control is there already.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from memory_study import regularizers
from memory_study.config import ConfigError, TrialConfig
from sweeps import _noise, _options
from sweeps._cli import main
from sweeps._flags import InputError, number, option, words_of
from sweeps._space import known_kind

OF_THE_PAPERS = ("adversarial", "dropout", "hidden_noise", "input_dropout", "input_noise", "weight_decay")
"""The kinds that Arpit et al. 2017 compare."""

DROPOUT_WITH_ADVERSARIAL = (0.03, 0.1, 0.2, 0.35, 0.5)
"""Drop probabilities that adversarial training is combined with."""


Grids = tuple[tuple[str, tuple[float, ...]], ...]
"""Strengths by kind."""


def _strengths(words: Sequence[str]) -> Grids:
    grids: dict[str, tuple[float, ...]] = {}
    problems = []
    for word in words:
        kind, equals, values = word.partition("=")
        try:
            grid = tuple(number(value) for value in values.split(",")) if equals else ()
        except ValueError as error:
            problems.append(f"--strengths {word!r}: {error}")
            continue
        if not grid or kind in grids:
            rule = "names its kind twice" if grid else "is not a grid"
            problems.append(f"--strengths {word!r} {rule}; write each kind once, as dropout=0.1,0.5")
            continue
        problems += [problem for strength in grid for problem in regularizers.problems(kind, strength)]
        grids[kind] = grid
    if problems or not words:
        raise InputError(problems or ["--strengths needs a grid; write it as dropout=0.1,0.5"])
    return tuple(grids.items())


@dataclass(frozen=True, kw_only=True)
class Options(_options.Options):
    """``strengths`` replaces the grids of the kinds that it names; the other kinds keep their own."""

    kinds: tuple[str, ...] = option(
        OF_THE_PAPERS, "regularizers to compare, by their files", words_of(known_kind), "KIND ..."
    )
    strengths: Grids = option(  # noqa: RUF009
        (), "other grids, as dropout=0.1,0.5 weight_decay=0.001", _strengths, "KIND=X,..."
    )
    dropout_with_adversarial: tuple[float, ...] = option(
        DROPOUT_WITH_ADVERSARIAL,
        "drop probabilities that adversarial training is combined with",
        words_of(number),
        "X ...",
    )
    corruptions: tuple[str, ...] = option(
        ("randY",), "noise besides real data", words_of(_noise.corruption), "KIND ..."
    )


SCALES: Mapping[str, Mapping[str, object]] = {
    "smoke": {
        "seeds": (0,), "width": 32, "train_size": 200, "batch_size": 50, "momentum": 0.9, "epochs": 4,
        "corruption_level": 1.0, "csr_examples": 100, "kinds": ("dropout", "weight_decay"),
        "strengths": (("dropout", (0.2, 0.5)), ("weight_decay", (0.001,))),
    },
    "laptop": {
        "width": 128, "train_size": 1000, "batch_size": 50, "momentum": 0.9, "epochs": 60,
        "corruption_level": 1.0, "csr_examples": 400,
        "strengths": (("adversarial", (0.2, 0.5)),), "dropout_with_adversarial": (0.1, 0.5),
    },
    "paper": {
        "seeds": (0, 1, 2, 3, 4), "dataset": "cifar10", "crop": 28, "train_size": 45_000,
        "model": "cnn-keras", "width": 200, "batch_size": 128, "momentum": 0.9, "halving_epochs": 15,
        "epochs": 100, "corruption_level": 1.0, "csr_examples": 10_000,
    },
}  # fmt: skip


def settings(options: Options) -> Iterator[dict[str, float]]:
    """The regularizers of each setting: none first, then kind by kind in the order of their strengths."""
    grids = dict(options.strengths)
    yield {}
    for kind in options.kinds:
        for strength in grids.get(kind, regularizers.find(kind).grid):
            if kind == "adversarial":
                yield from ({kind: strength, "dropout": p} for p in options.dropout_with_adversarial)
            else:
                yield {kind: strength}


def plan(options: Options) -> Iterator[TrialConfig]:
    """Every setting on real and on corrupted data, with every seed. Raises ConfigError."""
    level = options.shared.get("corruption_level", 1.0)
    if level == 0:
        raise ConfigError(["noise level 0 leaves nothing to compare; use --corruption-level 0.1 or more"])
    for strengths in settings(options):
        for corruption in ("none", *options.corruptions):
            for seed in options.seeds:
                yield options.trial(
                    regularizers=tuple(strengths.items()),
                    corruption=corruption,
                    corruption_level=level if corruption != "none" else 0.0,
                    seed=seed,
                )


SWEEP = _options.Sweep(
    name="regularization",
    header=__doc__,
    options=Options,
    scales=SCALES,
    plan=plan,
    varies=("corruption", "regularizers", "seed"),
)

if __name__ == "__main__":
    sys.exit(main(SWEEP))
