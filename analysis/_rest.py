"""Reading an MLflow server through its REST interface: pages of runs, then histories in bulk."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pandas as pd
import requests
from mlflow import MlflowClient
from mlflow.entities import Run, ViewType
from mlflow.exceptions import MlflowException
from mlflow.utils.credentials import get_default_host_creds
from mlflow.utils.rest_utils import http_request

from analysis._sql import missing_experiment
from analysis._store import Experiment, MissingExperimentError, Rows, StoreError, hide_password
from memory_study.record import Tag

RUNS_PER_CALL = 100
"""The server refuses a history of more runs at once."""
POINTS_PER_CALL = 25_000
"""The server silently leaves out the points beyond this."""
_PAGE = 1000
_HISTORY = "/ajax-api/2.0/mlflow/metrics/get-history-bulk"

Fetch = Callable[[Sequence[str], str], list[dict[str, Any]]]
"""Points of one metric for some runs, at most POINTS_PER_CALL of them."""


class RestStore:
    """An MLflow server. Raises StoreError if nothing answers there within seconds."""

    def __init__(self, uri: str) -> None:
        self._shown = hide_password(uri)
        self._credentials = get_default_host_creds(uri)  # type: ignore[no-untyped-call]
        self._client = MlflowClient(tracking_uri=uri)
        # MLflow tries a dead server for four minutes; the first question is asked once.
        with _one_line_errors(self._shown):
            answer = self._get("/health", max_retries=0, timeout=10, raise_on_status=False)
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
            raise StoreError(
                f"experiment {name!r} is deleted; "
                f"bring it back with: mlflow experiments restore -x {found.experiment_id}"
            )
        return Experiment(str(found.experiment_id), name, dict(found.tags))

    def rows(self, experiment: Experiment, curves: Sequence[str]) -> Rows:
        """See :class:`analysis._store.Store`."""
        with _one_line_errors(self._shown):
            runs = list(self._runs(experiment))
            ids = [run.info.run_id for run in runs]
            points = [row for key in curves for row in history(self._fetch, ids, key)]
        return Rows(
            runs=pd.DataFrame(
                [(run.info.run_id, run.info.end_time) for run in runs], columns=["run", "end_time"]
            ),
            params=_long(runs, lambda run: run.data.params),
            tags=_long(runs, lambda run: {key: run.data.tags[key] for key in Tag if key in run.data.tags}),
            metrics=_long(runs, lambda run: run.data.metrics).dropna(),
            curves=pd.DataFrame.from_records(
                [(row["run_id"], row["key"], row["step"], row["value"]) for row in points],
                columns=["run", "key", "step", "value"],
            ).dropna(),
        )

    def _runs(self, experiment: Experiment) -> Iterator[Run]:
        token: str | None = None
        while True:
            page = self._client.search_runs(
                [experiment.id],
                filter_string="attributes.status = 'FINISHED' and tags.kind = 'trial'",
                run_view_type=ViewType.ACTIVE_ONLY,
                max_results=_PAGE,
                page_token=token,
            )
            yield from page
            token = page.token
            if not token:
                return

    def _fetch(self, runs: Sequence[str], key: str) -> list[dict[str, Any]]:
        query = {"run_id": list(runs), "metric_key": key, "max_results": POINTS_PER_CALL}
        answer = self._get(_HISTORY, params=query)
        answer.raise_for_status()
        return list(answer.json()["metrics"])

    def _get(self, path: str, **options: Any) -> requests.Response:
        """Ask the server, with the credentials that MLflow's own client would use."""
        answer: requests.Response = http_request(self._credentials, path, "GET", **options)  # type: ignore[no-untyped-call]
        return answer


def history(fetch: Fetch, runs: Sequence[str], key: str) -> list[dict[str, Any]]:
    """All points of one metric for all ``runs``, in as few calls as the server's limits allow.

    A reply as long as the limit may have lost its end, so it is thrown away and its runs are asked for in
    halves. Raises StoreError if one run alone has so many points.
    """
    pending = [list(runs[start : start + RUNS_PER_CALL]) for start in range(0, len(runs), RUNS_PER_CALL)]
    points: list[dict[str, Any]] = []
    while pending:
        batch = pending.pop()
        reply = fetch(batch, key)
        if len(reply) < POINTS_PER_CALL:
            points += reply
        elif len(batch) > 1:
            pending += [batch[: len(batch) // 2], batch[len(batch) // 2 :]]
        else:
            raise StoreError(
                f"run {batch[0]} has {POINTS_PER_CALL} points of {key} or more, which a server cannot give; "
                "read its database with --tracking-uri sqlite:///... or postgresql://..."
            )
    return points


def _long(runs: Sequence[Run], values: Callable[[Run], dict[str, Any]]) -> pd.DataFrame:
    rows = [(run.info.run_id, key, value) for run in runs for key, value in values(run).items()]
    return pd.DataFrame.from_records(rows, columns=["run", "key", "value"])


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
