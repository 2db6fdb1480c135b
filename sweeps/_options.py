"""What a sweep is, what it was asked, and how it is to be run. ``--help`` reads this: no heavy imports."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from memory_study.config import FIELDS, ConfigError, TrialConfig
from sweeps._checkpoints import Folder
from sweeps._cost import DEVICES
from sweeps._flags import (
    Flag,
    InputError,
    choice,
    flags_of,
    number,
    one,
    option,
    positive_whole_number,
    shown,
    whole_number,
    words_of,
)

if TYPE_CHECKING:
    from sweeps._results import Archive
    from sweeps._rounds import Round

DEFAULT_SCALE = "laptop"
DATA_DIR = Path(os.environ.get("MEMORY_STUDY_DATA") or "~/.cache/memory-study/data").expanduser()
TRACKING_URI = os.environ.get("MLFLOW_TRACKING_URI") or "sqlite:///mlflow.db"
LOG_DIR = Path("logs")
CHECKPOINT_DIR = os.environ.get("MEMORY_STUDY_CHECKPOINTS") or ""
LOCAL_CHECKPOINTS = "checkpoints"
DEVICE, GPU = (os.environ.get(f"MEMORY_STUDY_{name}") or "" for name in ("DEVICE", "GPU"))
"""A cluster that has no machine with a GPU yet says with these what it would start."""

WHERE = ("auto", "cpu", "cuda")
GPUS = tuple(name for name in DEVICES if name != "cpu")


def count(text: str) -> int:
    """A whole number of at least 0. Raises ValueError for anything else."""
    value = whole_number(text)
    if value < 0:
        raise ValueError(f"{value} is too small; use 0 or more")
    return value


def _price(text: str) -> float:
    value = number(text)
    if value < 0:
        raise ValueError(f"{value:g} is not a price; use 0 or more")
    return value


def _seconds(text: str) -> float:
    value = number(text)
    if value < 0:
        raise ValueError(f"{value:g} is no length of time; use 0 or more")
    return value


@dataclass(frozen=True, kw_only=True)
class Options:
    """The question: the values that every trial shares, and the seeds. A sweep adds the knobs that it varies.

    ``shared`` maps the names of :class:`TrialConfig` fields to values.
    """

    shared: Mapping[str, Any] = field(default_factory=dict)
    seeds: tuple[int, ...] = option((0, 1, 2), "seeds to repeat every setting with", words_of(count), "N ...")

    def trial(self, **varied: Any) -> TrialConfig:
        """The trial with these values and the shared ones. Raises ConfigError."""
        return TrialConfig(**{**self.shared, **varied})


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How to run a sweep: nothing here changes what a trial is."""

    address: str = option(
        "", "Ray to use: none starts one here; auto or HOST:PORT joins one; inline uses no Ray"
    )
    data_dir: Path = option(DATA_DIR, "where data sets are kept, or $MEMORY_STUDY_DATA")  # noqa: RUF009
    tracking_uri: str = option(
        TRACKING_URI,
        "MLflow store of the results: a database or a server, or $MLFLOW_TRACKING_URI",
    )
    experiment: str = option("", "MLflow experiment; the sweep's name if not given")
    dry_run: bool = option(False, "show the plan and its cost; start nothing")
    limit: int | None = option(
        None, "train at most N of the trials still to do", one(positive_whole_number), "N"
    )
    retry_failed: bool = option(False, "train the trials again that failed before")
    save_models: bool = option(False, "keep each trained model as an artifact of its run")
    device: str = option(
        DEVICE or "auto",
        "where to train: auto, cpu or cuda, or $MEMORY_STUDY_DEVICE",
        choice(*WHERE),
        "DEVICE",
    )
    gpu: str = option(GPU, f"GPU to plan for: {', '.join(GPUS)}, or $MEMORY_STUDY_GPU", choice(*GPUS), "TYPE")
    cpus: int | None = option(None, "CPUs of a local Ray (all)", one(positive_whole_number), "N")
    gpus: int | None = option(None, "GPUs of a local Ray (all)", one(count), "N")
    max_cohort: int | None = option(None, "stack at most N trials", one(positive_whole_number), "N")
    price_per_hour: float | None = option(None, "price of the machines, for --dry-run", one(_price), "X")
    checkpoint_dir: str = option(
        CHECKPOINT_DIR,
        "where cohorts in training are kept: a folder or fsspec URI that all nodes reach, or "
        f"$MEMORY_STUDY_CHECKPOINTS ({LOCAL_CHECKPOINTS}/ without --address)",
        one(str),
        "URI",
    )
    checkpoint_seconds: float = option(
        60.0, "keep each cohort in training so often; 0 never", one(_seconds), "S"
    )
    log_dir: Path = option(LOG_DIR, "where the log files go")  # noqa: RUF009

    @property
    def checkpoints(self) -> Folder | None:
        """Where checkpoints go, if anywhere: workers on other nodes do not reach this one's folders."""
        local = LOCAL_CHECKPOINTS if self.address in ("", "inline") else ""
        where = self.checkpoint_dir or local
        if not where or not self.checkpoint_seconds:
            return None
        return Folder.of(where, self.experiment, self.tracking_uri)


@dataclass(frozen=True)
class Sweep:
    """One file of this folder. ``varies`` names the config fields that ``plan`` sets itself.

    ``scales`` maps a scale to values of config fields and knobs; flags on the command line win over them.
    """

    name: str
    header: str
    options: type[Options]
    scales: Mapping[str, Mapping[str, Any]]
    plan: Callable[[Any], Iterable[TrialConfig]]
    varies: tuple[str, ...]
    rounds: Callable[[Any, Archive], Iterator[Round]] | None = None
    """Of a sweep that decides as it goes (:mod:`sweeps._rounds`); its ``plan`` is what it may train at most."""

    def flags(self) -> list[Flag]:
        """All flags of this sweep, as ``--help`` groups them."""
        scale = Flag(
            "scale", "sweep", "sets defaults only", DEFAULT_SCALE, choice(*self.scales), "|".join(self.scales)
        )
        knobs = flags_of((f for f in fields(self.options) if f.name != "shared"), "sweep")
        every_trial = [
            FIELDS[n] for n in FIELDS if n not in self.varies and n not in ("dataset_digest", "seed")
        ]
        flags = [*knobs, *flags_of(every_trial, "every trial"), *flags_of(fields(Settings), "running it")]
        return [scale, *(replace(flag, default=self._default(flag)) for flag in flags)]

    def _default(self, flag: Flag) -> Any:
        by_scale = {scale: values.get(flag.name, flag.default) for scale, values in self.scales.items()}
        if isinstance(flag.default, bool) or len({str(value) for value in by_scale.values()}) == 1:
            return by_scale[DEFAULT_SCALE]
        return ", ".join(f"{scale} {shown(value)}" for scale, value in by_scale.items())


def resolve(sweep: Sweep, given: Mapping[str, Any]) -> Options:
    """The options that the flags ``given`` and the defaults of their scale make.

    Raises :class:`InputError` for values that make no trial.
    """
    values = {**sweep.scales[given.get("scale", DEFAULT_SCALE)], **given}
    knobs = {f.name for f in fields(sweep.options)} - {"shared"}
    shared = {name: value for name, value in values.items() if name in FIELDS}
    some_noise: dict[str, Any] = {"corruption": "randY"} if "corruption" in sweep.varies else {}
    try:
        TrialConfig(**shared, **some_noise)
    except ConfigError as error:
        raise InputError(error.problems) from None
    return sweep.options(shared=shared, **{name: values[name] for name in knobs & values.keys()})


def settings_of(sweep: Sweep, given: Mapping[str, Any]) -> Settings:
    """How to run it, from the flags ``given``."""
    names = {f.name for f in fields(Settings)}
    settings = {name: value for name, value in given.items() if name in names}
    return Settings(**{"experiment": sweep.name, **settings})
