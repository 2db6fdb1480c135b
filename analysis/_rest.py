"""Reading an MLflow server through its REST interface: pages of runs, then histories in bulk."""

from __future__ import annotations

import math
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import requests
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from mlflow.utils.credentials import get_default_host_creds
from mlflow.utils.rest_utils import http_request

from analysis._artifacts import read_all
from analysis._rows import Facts, History, joined, names_index, wide
from analysis._rows import history as in_order
from analysis._sql import missing_experiment
from analysis._store import (
    ARRAYS_FILE,
    FAILURE,
    TAGS,
    Experiment,
    MissingExperimentError,
    StoreError,
    UnusableExperimentError,
    hide_password,
    mark,
)

RUNS_PER_CALL = 100
"""The server refuses a history of more runs at once."""
POINTS_PER_CALL = 25_000
"""The server silently leaves out the points beyond this."""
REQUESTS_AT_ONCE = 4
"""A server answers with several processes: on two cores four take two thirds of the time of one."""
_PAGE = 1000
_SEARCH = "/api/2.0/mlflow/runs/search"
_HISTORY = "/ajax-api/2.0/mlflow/metrics/get-history-bulk"

Fetch = Callable[[Sequence[str], str], list[dict[str, Any]]]
"""Points of one metric for some runs, at most POINTS_PER_CALL of them."""


class RestStore:
    """An MLflow server. Raises StoreError if nothing answers there within seconds."""

    def __init__(self, uri: str) -> None:
        self._shown = self.identity = hide_password(uri)
        self._credentials = get_default_host_creds(uri)  # type: ignore[no-untyped-call]
        self._client = MlflowClient(tracking_uri=uri)
        # MLflow tries a dead server for four minutes; the first question is asked once.
        with _one_line_errors(self._shown):
            answer = http_request(  # type: ignore[no-untyped-call]
                self._credentials, "/health", "GET", max_retries=0, timeout=10, raise_on_status=False
            )
        if answer.status_code != 200:
            raise StoreError(
                f"{self._shown} is not an MLflow server (status {answer.status_code}); check --tracking-uri"
            )

    def experiment(self, name: str) -> Experiment:
        """See :class:`analysis._store.Store`."""
        with _one_line_errors(self._shown):
            found = self._client.get_experiment_by_name(name)
            if found is None:
                known = [each.name for each in self._client.search_experiments()]
                raise MissingExperimentError(missing_experiment(name, self._shown, known))
        if found.lifecycle_stage != "active":
            raise UnusableExperimentError(
                f"experiment {name!r} is deleted; "
                f"bring it back with: mlflow experiments restore -x {found.experiment_id}"
            )
        return Experiment(str(found.experiment_id), name, dict(found.tags))

    def trials(self, experiment: Experiment, known: Container[str]) -> tuple[pd.DataFrame, Facts]:
        """See :class:`analysis._store.Store`."""
        with _one_line_errors(self._shown):
            found = [_Run.of(answer) for answer in self._search(experiment, "FINISHED")]
        runs = pd.DataFrame(
            {
                "end_time": np.array([run.end_time for run in found], float),
                "mark": [run.mark for run in found],
            },
            index=names_index([run.id for run in found]),
        )
        return runs, _facts([run for run in found if run.mark not in known])

    def failed(self, experiment: Experiment) -> pd.DataFrame:
        """See :class:`analysis._store.Store`."""
        with _one_line_errors(self._shown):
            found = [_pairs(answer["data"], "tags") for answer in self._search(experiment, "FAILED")]
        names = [*map(str, FAILURE)]
        return pd.DataFrame(
            [[tags.get(name, np.nan) for name in names] for tags in found], None, names, object
        )

    def history(self, runs: Sequence[str], key: str) -> History:
        """See :class:`analysis._store.Store`."""
        with _one_line_errors(self._shown):
            return history(self._fetch, runs, key)

    def arrays(self, runs: Sequence[str]) -> list[bytes]:
        """See :class:`analysis._store.Store`."""
        with _one_line_errors(self._shown):
            return read_all(runs, self._array_file)

    def _array_file(self, run: str) -> bytes:
        return self._ask("/get-artifact", params={"run_uuid": run, "path": ARRAYS_FILE}).content

    def _search(self, experiment: Experiment, status: str) -> Iterator[dict[str, Any]]:
        """The experiment's trials of that status as the server gives them, without the client's objects for each.

        By when they started, those of one moment by run id.
        """
        query = {
            "experiment_ids": [experiment.id],
            "filter": f"attributes.status = '{status}' and tags.kind = 'trial'",
            "run_view_type": "ACTIVE_ONLY",
            "order_by": ["attributes.start_time ASC"],  # the server orders ties by run id
            "max_results": _PAGE,
        }
        while True:
            answer = self._ask(_SEARCH, "POST", json=query).json()
            yield from answer.get("runs", [])
            if not answer.get("next_page_token"):
                return
            query["page_token"] = answer["next_page_token"]

    def _fetch(self, runs: Sequence[str], key: str) -> list[dict[str, Any]]:
        query = {"run_id": list(runs), "metric_key": key, "max_results": POINTS_PER_CALL}
        return list(self._ask(_HISTORY, params=query).json()["metrics"])

    def _ask(self, path: str, method: str = "GET", **options: Any) -> requests.Response:
        """Ask the server, with the credentials that MLflow's own client would use."""
        answer: requests.Response = http_request(self._credentials, path, method, **options)  # type: ignore[no-untyped-call]
        answer.raise_for_status()
        return answer


@dataclass(frozen=True, slots=True)
class _Run:
    """A run as the server describes it."""

    id: str
    end_time: float
    params: dict[str, str]
    tags: dict[str, str]
    metrics: dict[str, float]
    mark: str

    @classmethod
    def of(cls, answer: Mapping[str, Any]) -> _Run:
        info, data = answer["info"], answer["data"]
        end_time = float(info.get("end_time", math.nan))
        params, tags = _pairs(data, "params"), _pairs(data, "tags")
        metrics = {key: float(value) for key, value in _pairs(data, "metrics").items()}  # "NaN" is text
        tags = {str(key): tags[key] for key in TAGS if key in tags}
        latest = sorted(data.get("metrics", ()), key=lambda metric: str(metric["key"]))
        facts = (end_time, sorted(params.items()), sorted(tags.items()), [sorted(m.items()) for m in latest])
        return cls(info["run_id"], end_time, params, tags, metrics, mark(info["run_id"], *facts))


def _pairs(data: Mapping[str, Any], name: str) -> dict[str, Any]:
    return {each["key"]: each["value"] for each in data.get(name, ())}


def _facts(runs: Sequence[_Run]) -> Facts:
    ids = [run.id for run in runs]

    def table(columns: Sequence[Mapping[str, object]], kind: type) -> pd.DataFrame:
        return wide(ids, [(place, *cell) for place, run in enumerate(columns) for cell in run.items()], kind)

    return Facts(
        params=table([run.params for run in runs], object),
        tags=table([run.tags for run in runs], object),
        metrics=table([run.metrics for run in runs], float),
    )


def history(fetch: Fetch, runs: Sequence[str], key: str, at_once: int = REQUESTS_AT_ONCE) -> History:
    """All points of one metric for all ``runs``, in as few calls as the server's limits allow, ``at_once`` at a
    time. Raises StoreError if one run alone has more points than a call gives.
    """
    batches = [runs[start : start + RUNS_PER_CALL] for start in range(0, len(runs), RUNS_PER_CALL)]
    with ThreadPoolExecutor(at_once) as pool:
        parts = list(pool.map(lambda batch: _batch(fetch, batch, key), batches))
    return joined(parts or [_points((), ())])


def _batch(fetch: Fetch, runs: Sequence[str], key: str) -> History:
    """The points of a call's runs.

    A reply as long as the limit may have lost its end, so it is thrown away and its runs are asked for in
    halves.
    """
    reply = fetch(runs, key)
    if len(reply) < POINTS_PER_CALL:
        return _points(runs, reply)
    if len(runs) == 1:
        raise StoreError(
            f"run {runs[0]} has {POINTS_PER_CALL} points of {key} or more, which a server cannot give; "
            "read its database with --tracking-uri sqlite:///... or postgresql://..."
        )
    half = len(runs) // 2
    return joined([_batch(fetch, runs[:half], key), _batch(fetch, runs[half:], key)])


def _points(runs: Sequence[str], reply: Sequence[Mapping[str, Any]]) -> History:
    """A reply as arrays: its objects take ten times the memory."""
    place = {run: index for index, run in enumerate(runs)}
    return in_order(
        len(runs),
        np.array([place[row["run_id"]] for row in reply], np.int64),
        np.array([row["step"] for row in reply], np.int64),
        np.array([row["value"] for row in reply], np.float64),
    )


@contextmanager
def _one_line_errors(shown: str) -> Iterator[None]:
    """Turn what the client raises into a StoreError of one line."""
    try:
        yield
    except (MlflowException, requests.RequestException) as error:
        # Both quote the URI that they were asked for.
        reason = hide_password((str(error).strip().splitlines() or [type(error).__name__])[0])[:200]
        raise StoreError(
            f"{shown} does not answer ({reason}); check that the server runs and the URI"
        ) from None
