"""Reading a tracking store: what an experiment holds about finished trials, as tables.

A store is read in bulk, never run by run: with SQL where there is a database (:mod:`analysis._sql`), through
the REST interface where there is a server (:mod:`analysis._rest`). Both give the same tables, and
:mod:`analysis._cache` keeps them. Nothing here imports MLflow: it takes longer to import than most experiments
take to read.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import urlsplit

import pandas as pd

from analysis._rows import Facts, History
from memory_study import record
from memory_study.record import Tag

SCHEMES = "sqlite:///mlflow.db, postgresql://user@host/name or http://host:5000"
"""Examples of the stores that can be read."""


TAGS = (
    Tag.TRIAL,
    Tag.SWEEP,
    Tag.DEVICE,
    Tag.CODE,
    Tag.DIRTY,
    Tag.PYTHON,
    Tag.TORCH,
    Tag.SUGGESTED,
    Tag.ARRAYS,
)
"""The tags of a finished run that are read."""
ARRAYS_FILE = "arrays.npz"
"""The artifact of a run that holds its arrays."""
FAILURE = (Tag.TRIAL, Tag.SWEEP, Tag.ERROR)
"""The tags of a failed run that are read."""
_IN_QUERY = re.compile(
    r"([?&](?:sig|key|auth|[^=&\s]*(?:passw|passphrase|pwd|secret|token|api.?key|access.?key|credential)[^=&\s]*)=)"
    r"[^&\s]*?(?=['\")]*(?:[&\s]|$))",
    re.IGNORECASE,
)
_OF_USER = re.compile(r"(://[^:/@\s]*):(?:[^?\s]*|[^/\s]*)@")


class StoreError(Exception):
    """A store cannot be read. ``str()`` is one line: the rule, the value, the next step."""


class UnusableExperimentError(StoreError):
    """The store is readable, but of that name it has no experiment that is ours to read: others may be."""


class MissingExperimentError(UnusableExperimentError):
    """The store is readable and has no experiment of that name."""


@dataclass(frozen=True, slots=True)
class Experiment:
    """An experiment of the store: its id there, its name and its tags."""

    id: str
    name: str
    tags: Mapping[str, str]


class Store(Protocol):
    """A tracking store that can be read."""

    identity: str
    """What tells it from any other store: an absolute URI without its secrets."""

    def experiment(self, name: str) -> Experiment:
        """The experiment of that name. Raises MissingExperimentError where there is none, UnusableExperimentError if it is
        deleted, and StoreError.
        """

    def trials(self, experiment: Experiment, known: Container[str]) -> tuple[pd.DataFrame, Facts]:
        """The experiment's finished, not deleted runs that are trials, and the facts of those that are news.

        The table has the run's id as index and columns end_time (milliseconds, NaN where unknown) and mark: a
        text that is another for another run, and another once the run's facts differ. A run is news if its mark
        is not in ``known``. Raises StoreError.
        """

    def failed(self, experiment: Experiment) -> pd.DataFrame:
        """A row for each of the experiment's failed, not deleted runs of trials, with the tags FAILURE as columns:
        text, NaN where a run has none. A trial has several where it was tried again: the run that started last comes last,
        of those of one moment the largest run id. Raises StoreError.
        """

    def history(self, runs: Sequence[str], key: str) -> History:
        """All points of the metric ``key`` of these runs. Raises StoreError."""

    def arrays(self, runs: Sequence[str]) -> list[bytes]:
        """The files with the arrays of these runs, each of which must have one. Raises StoreError."""


def connect(uri: str) -> Store:
    """The store at a tracking URI. Raises StoreError if it cannot be reached or read."""
    scheme = uri.partition("://")[0] if "://" in uri else ""
    if scheme in ("http", "https") and _has_host(uri):
        from analysis._rest import RestStore

        return RestStore(uri)
    if re.fullmatch(r"(sqlite|postgresql)(\+\w+)?", scheme):
        from analysis._sql import SqlStore

        return SqlStore(uri)
    raise StoreError(
        f"tracking URI {hide_password(uri)!r} is of no kind that can be read; use --tracking-uri {SCHEMES}"
    )


def _has_host(uri: str) -> bool:
    try:
        return bool(urlsplit(uri).hostname)
    except ValueError:  # half a bracket of an IPv6 address
        return False


def find_experiment(store: Store, name: str) -> Experiment:
    """The experiment of that name. Raises UnusableExperimentError unless its records are of the schema read here."""
    experiment = store.experiment(name)
    found = experiment.tags.get(Tag.SCHEMA)
    if found is None:
        raise UnusableExperimentError(
            f"experiment {name!r} has no tag {Tag.SCHEMA}: no sweep wrote it; use another --experiment"
        )
    if found != str(record.SCHEMA):
        raise UnusableExperimentError(
            f"experiment {name!r} holds records of schema {found}, this code reads schema {record.SCHEMA}; "
            "use the version of the code that wrote it, or another --experiment"
        )
    return experiment


def hide_password(text: str) -> str:
    """A URI, or a text with one, without its password and the secrets of its query: fit to be printed."""
    return _OF_USER.sub(r"\1:***@", _IN_QUERY.sub(r"\1***", text))


def mark(run: str, *facts: object) -> str:
    """The text that is another for another run and for other facts. See :meth:`Store.trials`."""
    return f"{run} {hashlib.blake2b(repr(facts).encode(), digest_size=8).hexdigest()}"
