"""One trial, fully described: every choice that the papers leave open is a field here. Standard library only.

A field's scope says who must agree on it: trials of one cohort share every *cohort* field and differ at most in the
*replica* fields, because a cohort is trained as one stack of tensors. Adding a field: give it a frozen ``absent``
value, what older code did before the field existed, and every old trial keeps its id.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from types import MappingProxyType
from typing import Any, Literal

from memory_study import identity
from memory_study.identity import Value

Scope = Literal["cohort", "replica"]

CORRUPTIONS = ("none", "randX", "randY")
MODELS = ("mlp", "cnn-keras", "cnn-zhang")
INPUT_SCALINGS = ("unit", "standardized")
VALIDATIONS = ("held-out", "test")
VALIDATION_SCHEDULES = ("every-epoch", "curve")
DTYPES = ("float32", "float64")
LABELS = ("data", "example")
ENDS = ("low", "high")
MOST_ITERATIONS = 1000
"""Of a search for an eigenvalue: it takes a hundred or so."""
MOST_POINTS = 64
"""Of a curve: each is a row in the tracking store, of every trial and every curve."""
_REQUIRED = object()


class ConfigError(ValueError):
    """A config breaks one rule or more. ``problems`` has a line for each: the rule, the value, the next step."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


def _field(scope: Scope, default: Any, help: str, absent: Any = _REQUIRED) -> Any:
    metadata: dict[str, Any] = {"scope": scope, "help": help}
    if absent is not _REQUIRED:
        metadata["absent"] = absent
    return dataclasses.field(default=default, metadata=metadata)


class _Identified:
    """Room for an id that is hashed once: it is asked for in every epoch."""

    __slots__ = ("_id",)
    _id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialConfig(_Identified):
    """One training run. Equal configs are one trial: noise of level 0 is no noise, a strength of 0 no regularizer, and
    without a share or a score no example is dropped.

    ``regularizers`` may be given as a mapping; it is kept as pairs, sorted, without strengths of 0; ``csr_epochs``
    and ``measures`` are kept once each, ascending.
    Raises :class:`ConfigError`, with all problems at once, for values that make no trial.
    """

    dataset: str = _field("cohort", "digits", "data set: digits, mnist, cifar10 or folder:NAME")
    dataset_digest: str = _field(
        "cohort", "", "content hash of a folder data set (empty for the built-in ones)"
    )
    image_size: int = _field("cohort", 0, "resize images to this many pixels a side; 0 keeps their size")
    crop: int = _field("cohort", 0, "use the central crop of this many pixels a side; 0 uses the whole image")
    train_size: int = _field("cohort", 1000, "training examples; smaller sets are contained in larger ones")
    validation: str = _field(
        "cohort", "held-out", "validation set: held-out training images, or test, as in the papers"
    )
    validation_size: int = _field(
        "cohort", 0, "use only so many examples of the validation set; 0 uses all", absent=0
    )
    validation_schedule: str = _field(
        "cohort",
        "every-epoch",
        "validate after every epoch, or only at the epochs of the curves (curve), of which the best then is the best",
        absent="every-epoch",
    )
    split_seed: int = _field("cohort", 0, "seed of the train / validation split")
    labels: str = _field(
        "cohort",
        "data",
        "classes: those of the data set (data), or one for each training example, with nothing to validate (example)",
        absent="data",
    )
    corruption: str = _field("replica", "none", "what is random: none, randX (inputs) or randY (labels)")
    corruption_level: float = _field(
        "replica", 0.0, "share of the training set that is corrupted, from 0 to 1"
    )
    corruption_seed: int = _field(
        "replica", -1, "seed of the corruption, to train on one noisy data set with many seeds; -1 is the trial's own",
        absent=-1,
    )  # fmt: skip
    pruning_score: str = _field(
        "replica",
        "none",
        "drop training examples by this score, a file of memory_study/scores, or none",
        absent="none",
    )
    pruned_end: str = _field(
        "replica", "low", "drop those with the lowest scores (low) or the highest (high)", absent="low"
    )
    pruned_share: float = _field(
        "cohort", 0.0, "share of the training examples that are dropped, below 1", absent=0.0
    )
    scoring_epochs: int = _field(
        "cohort", 10, "epochs of the first training, which scores the examples to be dropped", absent=10
    )
    model: str = _field(
        "cohort",
        "mlp",
        "mlp, cnn-keras (valid padding, pool 3/3; or just cnn) or cnn-zhang (same padding, pool 3/2)",
    )
    width: int = _field(
        "cohort", 128, "units of each hidden layer of an MLP; channels of each convolution of a CNN"
    )
    depth: int = _field("cohort", 2, "hidden layers of an MLP")
    input_scaling: str = _field(
        "cohort", "standardized", "pixels enter the net in [0, 1] (unit) or standardized"
    )
    batch_norm_momentum: float = _field(
        "cohort", 0.1, "weight of the newest batch in a CNN's running statistics"
    )
    batch_norm_epsilon: float = _field("cohort", 1e-5, "added to the variance in a CNN's batch normalization")
    learning_rate: float = _field("replica", 0.01, "step size of SGD")
    momentum: float = _field(
        "cohort", 0.0, "classical momentum of SGD, as in Keras: v = momentum v - lr g, w = w + v"
    )
    batch_size: int = _field("cohort", 128, "examples in a step; the last batch of an epoch may be smaller")
    epochs: int = _field("cohort", 60, "epochs to train, unless the trial stops before")
    halving_epochs: int = _field(
        "cohort", 0, "halve the learning rate every so many epochs; 0 keeps it constant"
    )
    regularizers: tuple[tuple[str, float], ...] = _field(
        "replica", (), "regularizers: dropout=0.5,adversarial=0.2"
    )
    stop_at_convergence: bool = _field("cohort", False, "stop a trial after its convergence epoch")
    csr_examples: int = _field("cohort", 1000, "examples in each critical sample ratio; 0 measures none")
    csr_iterations: int = _field("cohort", 10, "Langevin iterations of each critical sample search")
    csr_radius: float = _field("cohort", 0.3, "radius of the search, in steps of the 0-255 pixel scale")
    csr_gradient_step: float = _field("cohort", 0.25, "alpha of the search, on the 0-255 scale")
    csr_noise_step: float = _field("cohort", 0.2, "beta of the search, on the 0-255 scale")
    csr_epochs: tuple[int, ...] = _field("cohort", (), "epochs after which to measure it, besides the last")
    measures: tuple[str, ...] = _field(
        "cohort", (), "what else to measure: names of the files in memory_study/measures", absent=()
    )
    measured_examples: int = _field(
        "cohort",
        1000,
        "training examples, the first ones, that --measures training_examples looks at",
        absent=1000,
    )
    sensitivity_points: int = _field(
        "cohort",
        32,
        "SGD steps from the first to the last, log-spaced, of which --measures loss_sensitivity takes those after which "
        "every example was seen",
        absent=32,
    )
    sensitivity_class_points: int = _field(
        "cohort",
        8,
        "the same for its sensitivities between classes, which cost as much for each class",
        absent=8,
    )
    sharpness_loss: float = _field(
        "cohort",
        0.1,
        "--measures sharpness looks at a net when its training loss is first at most this, in nats, and at the end",
        absent=0.1,
    )
    sharpness_iterations: int = _field(
        "cohort", 100, "Hessian-vector products for each of its eigenvalues at most", absent=100
    )
    sharpness_tolerance: float = _field(
        "cohort", 1e-3, "relative residual at which an eigenvalue is good enough", absent=1e-3
    )
    dtype: str = _field("cohort", "float32", "floating point type: float32 or float64")
    seed: int = _field("replica", 0, "names every random draw: weights, batches, corruption, noise")

    def __post_init__(self) -> None:
        from memory_study import scores  # its listing needs no torch

        if self.model == "cnn":
            object.__setattr__(self, "model", "cnn-keras")
        for field in fields(self):
            if field.type == "float":
                # One number is one text, hence one id: 1 is 1.0, and -0.0 (which adding 0.0 rounds away) is 0.0.
                object.__setattr__(self, field.name, float(getattr(self, field.name)) + 0.0)
        strengths = dict(self.regularizers)
        pairs = tuple(
            (kind, float(strength)) for kind, strength in sorted(strengths.items()) if strength != 0
        )
        object.__setattr__(self, "regularizers", pairs)
        object.__setattr__(self, "csr_epochs", tuple(sorted(set(self.csr_epochs))))
        if self.corruption_level == 0 and self.corruption in CORRUPTIONS:
            object.__setattr__(self, "corruption", "none")
        if self.corruption == "none" or self.corruption_seed == self.seed:
            object.__setattr__(self, "corruption_seed", -1)
        object.__setattr__(self, "measures", tuple(sorted(set(self.measures))))
        sound = self.pruning_score in ("none", *scores.names()) and 0 <= self.pruned_share < 1
        if sound and (self.pruning_score == "none" or self.pruned_share == 0):
            for name in ("pruning_score", "pruned_share", "scoring_epochs"):
                object.__setattr__(self, name, ABSENT[name])
        if self.pruning_score in ("none", "random"):
            object.__setattr__(self, "pruned_end", "low")
        found = list(_problems(self))
        if found:
            raise ConfigError(found)

    @property
    def id(self) -> str:
        """The trial's id: see :mod:`memory_study.identity`."""
        try:
            return self._id
        except AttributeError:
            found = identity.trial_id({f.name: getattr(self, f.name) for f in fields(self)}, ABSENT)
            object.__setattr__(self, "_id", found)
            return found

    @property
    def noise_seed(self) -> int:
        """The seed of the corruption."""
        return self.seed if self.corruption_seed == -1 else self.corruption_seed

    @property
    def kept_examples(self) -> int:
        """Training examples that are left after some are dropped."""
        return self.train_size - round(self.pruned_share * self.train_size)

    @property
    def first_training(self) -> TrialConfig:
        """The trial whose ``scoring_epochs`` score the examples of this one, where it drops some."""
        return dataclasses.replace(
            self, pruning_score="none", epochs=self.scoring_epochs, csr_examples=0, csr_epochs=(), measures=(),
            stop_at_convergence=False,
        )  # fmt: skip

    @property
    def shared(self) -> tuple[Value, ...]:
        """The values of all cohort fields: trials stack exactly when these are equal."""
        return tuple(getattr(self, name) for name in COHORT_FIELDS)

    @property
    def name(self) -> str:
        """What a person calls it: ``dropout 0.5 · randY · seed 0``, ``mlp 512 · 5000 examples · real · seed 0``."""
        kinds = " + ".join(f"{kind.replace('_', ' ')} {strength:g}" for kind, strength in self.regularizers)
        noise = "real" if self.corruption == "none" else self.corruption
        if 0 < self.corruption_level < 1:
            noise += f" {self.corruption_level:g}"
        net = f"{self.model} {self.width} · {self.train_size} {'examples' if self.labels == 'data' else 'classes'}"
        which = "" if self.pruning_score == "random" else f"{self.pruned_end} "
        dropped = f"{100 * self.pruned_share:g} % dropped, {which}{self.pruning_score.replace('_', ' ')}"
        what = [kinds] * bool(kinds) + [dropped] * bool(self.pruned_share) or [net]
        return f"{' · '.join(what)} · {noise} · seed {self.seed}"

    def params(self) -> dict[str, str]:
        """The config as MLflow parameters: every field by name, as :func:`memory_study.identity.to_text` writes it."""
        return {field.name: identity.to_text(getattr(self, field.name)) for field in fields(self)}


FIELDS: Mapping[str, dataclasses.Field[Any]] = MappingProxyType({f.name: f for f in fields(TrialConfig)})
COHORT_FIELDS = tuple(name for name, f in FIELDS.items() if f.metadata["scope"] == "cohort")
REPLICA_FIELDS = tuple(name for name, f in FIELDS.items() if f.metadata["scope"] == "replica")
ABSENT: Mapping[str, Value] = MappingProxyType(
    {name: f.metadata["absent"] for name, f in FIELDS.items() if "absent" in f.metadata}
)


def _problems(c: TrialConfig) -> Iterator[str]:
    """Yield a line for every rule that config ``c`` breaks."""
    from memory_study import measures, regularizers, scores  # their listings need no torch

    choices = {
        "corruption": CORRUPTIONS, "model": MODELS, "input_scaling": INPUT_SCALINGS,
        "validation": VALIDATIONS, "validation_schedule": VALIDATION_SCHEDULES, "dtype": DTYPES, "labels": LABELS,
        "pruned_end": ENDS, "pruning_score": ("none", *scores.names()),
    }  # fmt: skip
    for name, allowed in choices.items():
        if getattr(c, name) not in allowed:
            yield f"{flag(name)} {getattr(c, name)!r} is not known; choose from {', '.join(allowed)}"
    at_least = {
        "train_size": 1, "width": 1, "depth": 0, "batch_size": 1, "epochs": 1, "seed": 0, "split_seed": 0,
        "image_size": 0, "crop": 0, "halving_epochs": 0, "csr_examples": 0, "csr_iterations": 1,
        "validation_size": 0, "corruption_seed": -1, "measured_examples": 1, "sharpness_iterations": 1,
        "sensitivity_points": 1, "sensitivity_class_points": 1, "scoring_epochs": 1,
    }  # fmt: skip
    for name, least in at_least.items():
        if getattr(c, name) < least:
            yield f"{flag(name)} {getattr(c, name)} is too small; use {least} or more"
    points = {"sensitivity_points": c.sensitivity_points, "csr_epochs": len({*c.csr_epochs, c.epochs})}
    for name, count in points.items():
        if count > MOST_POINTS:
            yield f"{flag(name)} makes curves of {count} points, the last included; use {MOST_POINTS} or fewer"
    if c.sharpness_iterations > MOST_ITERATIONS:
        yield (
            f"--sharpness-iterations {c.sharpness_iterations} is too large: their square is kept for each trial; use "
            f"{MOST_ITERATIONS} or less"
        )
    if not 0 <= c.corruption_level <= 1:
        percent = (
            f" ({c.corruption_level / 100:g} for {c.corruption_level:g} %)"
            if 1 < c.corruption_level <= 100
            else ""
        )
        yield f"noise level {c.corruption_level:g} is not a fraction; use 0 <= level <= 1{percent}"
    elif c.corruption == "none" and c.corruption_level > 0:
        yield f"noise level {c.corruption_level:g} has no kind; use it with --corruption randX or randY"
    if c.validation_size and c.validation == "test":
        yield (
            f"--validation-size {c.validation_size} would cut a test set short, whose examples may be in any order; "
            "leave it out, or use --validation held-out"
        )
    if not 0 <= c.pruned_share < 1 or c.kept_examples < 1:
        yield f"--pruned-share {c.pruned_share:g} of {c.train_size} examples leaves none; use 0 <= share < 1"
    elif c.pruned_share and c.kept_examples == c.train_size:
        yield (
            f"to drop a share of {c.pruned_share:g} of {c.train_size} examples drops none; use at least "
            f"{1 / c.train_size:g}"
        )
    elif c.model.startswith("cnn") and any(
        (size - 1) % max(c.batch_size, 1) == 0 for size in (c.train_size, c.kept_examples)
    ):
        kept = f", of which {c.kept_examples} are kept," if c.pruned_share else ""
        yield (
            f"--train-size {c.train_size}{kept} in batches of {c.batch_size} leaves a batch of one example, which batch "
            "normalization cannot train on; use another --batch-size"
        )
    if not (c.learning_rate > 0 and math.isfinite(c.learning_rate)):
        yield f"--learning-rate {c.learning_rate:g} is not a step size; use a number above 0"
    for name in ("momentum", "batch_norm_momentum"):
        if not 0 <= getattr(c, name) < 1:
            yield f"{flag(name)} {getattr(c, name):g} is out of range; use 0 <= value < 1"
    if not (c.batch_norm_epsilon > 0 and math.isfinite(c.batch_norm_epsilon)):
        yield f"--batch-norm-epsilon {c.batch_norm_epsilon:g} is out of range; use a finite number above 0"
    for name in ("sharpness_loss", "sharpness_tolerance"):
        if not (getattr(c, name) > 0 and math.isfinite(getattr(c, name))):
            yield f"{flag(name)} {getattr(c, name):g} is out of range; use a finite number above 0"
    for name in ("csr_radius", "csr_gradient_step", "csr_noise_step"):
        if not (getattr(c, name) >= 0 and math.isfinite(getattr(c, name))):
            yield f"{flag(name)} {getattr(c, name):g} is out of range; use a finite number of at least 0"
    if any(not 0 <= epoch <= c.epochs for epoch in c.csr_epochs):
        yield f"--csr-epochs {identity.to_text(c.csr_epochs)} leave the training; use epochs from 0 to {c.epochs}"
    if "loss_sensitivity" in c.measures:
        yield from _sensitivity_problems(c)
    if c.pruning_score == "loss_sensitivity":
        yield from _unrolling_problems(c, "--pruning-score loss_sensitivity")
    if "filters" in c.measures and not c.model.startswith("cnn"):
        yield f"--measures filters looks at convolutions, and {c.model} has none; use --model cnn-keras, or leave it out"
    for name in sorted(set(c.measures) - set(measures.names())):
        yield f"--measures {name!r} is not known; choose from {', '.join(measures.names())}"
    for kind, strength in c.regularizers:
        yield from regularizers.problems(kind, strength)


def _sensitivity_problems(c: TrialConfig) -> Iterator[str]:
    """Yield a line for all that keeps the loss sensitivity of ``c`` from being measured."""
    yield from _unrolling_problems(c, "--measures loss_sensitivity")
    if c.dtype != "float64":
        yield f"--measures loss_sensitivity loses its digits in {c.dtype}; use --dtype float64"


def _unrolling_problems(c: TrialConfig, asked: str) -> Iterator[str]:
    """Yield a line for all that keeps the training of ``c`` from being unrolled, as the flag ``asked`` wants it."""
    if c.model != "mlp":
        yield f"{asked} unrolls the training of an MLP, not of {c.model}; use --model mlp"
    if c.regularizers:
        kinds = ", ".join(kind for kind, _ in c.regularizers)
        yield f"{asked} unrolls plain SGD, with or without momentum, not {kinds}; use no regularizer"


def flag(name: str) -> str:
    """The command-line flag of a config field: ``train_size`` is ``--train-size``."""
    return "--" + name.replace("_", "-")
