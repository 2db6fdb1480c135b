"""Logging figures as artifacts of one run of their experiment. Imports MLflow, so import it late."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from mlflow import MlflowClient
from mlflow.entities import ViewType

from analysis._store import StoreError
from memory_study.record import Tag

RUN_NAME = "figures"


def log_figures(uri: str, experiment_id: str, files: Sequence[Path]) -> None:
    """Log the files to the experiment's run of figures, made when it is not there yet. Raises StoreError."""
    logging.getLogger("alembic").setLevel(logging.WARNING)
    logging.getLogger("mlflow").setLevel(logging.CRITICAL)  # what it logs of an error, the line below says
    try:
        client = MlflowClient(tracking_uri=uri)
        run_id = _figures_run(client, experiment_id)
        for file in files:
            client.log_artifact(run_id, str(file))
        client.set_terminated(run_id, "FINISHED")
    except Exception as error:  # noqa: BLE001 - each artifact store has errors of its own; the figures are on disk
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
        raise StoreError(
            f"the figures are written, but could not be logged ({reason}); leave that out with --no-log"
        ) from None


def _figures_run(client: MlflowClient, experiment_id: str) -> str:
    found = client.search_runs(
        [experiment_id],
        filter_string=f"tags.{Tag.KIND} = '{RUN_NAME}'",
        run_view_type=ViewType.ACTIVE_ONLY,
        order_by=["attributes.start_time ASC"],
        max_results=1,
    )
    if found:
        return str(found[0].info.run_id)
    return str(
        client.create_run(experiment_id, run_name=RUN_NAME, tags={str(Tag.KIND): RUN_NAME}).info.run_id
    )
