from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

sys.path.insert(
    0, str(Path(__file__).parent)
)  # for the tests' own helper modules, whatever pytest's import mode

from mlflow_server import Server
from patching import write_patch, write_slower
from ray_nodes import Nodes

from memory_study.config import TrialConfig
from memory_study.record import Record, Tag
from sweeps._batch import Outcome
from sweeps._cli import main
from sweeps.regularization import SWEEP

ROOT = Path(__file__).parents[2]


def make_record(config: TrialConfig, value: float = 0.5, model: bytes | None = None) -> Record:
    curve = tuple((epoch, value) for epoch in range(1, config.epochs + 1))
    scalars = {"best_validation_accuracy": value, "diverged": 0.0, "test_accuracy": value}
    return Record(config.id, scalars, {"train_loss": curve, "train_accuracy": curve}, model)


def make_outcome(
    config: TrialConfig, value: float = 0.5, error: str = "", model: bytes | None = None
) -> Outcome:
    tags = {
        Tag.KIND: "trial",
        Tag.TRIAL: config.id,
        Tag.SWEEP: "test",
        Tag.COHORT: "one",
        Tag.COHORT_SIZE: "1",
        **({Tag.ERROR: error} if error else {}),
    }
    return Outcome(config, tags, 1000, 2000, None if error else make_record(config, value, model), error)


@pytest.fixture
def record() -> Callable[..., Record]:
    return make_record


@pytest.fixture
def outcome() -> Callable[..., Outcome]:
    return make_outcome


@pytest.fixture
def trials() -> Callable[[int], tuple[TrialConfig, ...]]:
    return lambda count: tuple(TrialConfig(seed=seed, epochs=3) for seed in range(count))


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with MLflow's tables, which take a second to create, and nothing in them."""
    from mlflow import MlflowClient

    file = tmp_path_factory.mktemp("empty") / "mlflow.db"
    MlflowClient(f"sqlite:///{file}").search_experiments()
    return file


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to run a sweep in, with the environment of a fresh user."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def run(here: Path) -> Callable[..., int]:
    """Run the regularization sweep in this process, in an empty folder."""
    defaults = ["--tracking-uri", f"sqlite:///{here}/mlflow.db", "--data-dir", str(here / "data")]

    def call(*argv: str) -> int:
        given = set(argv)
        kept = [
            w
            for pair in zip(defaults[::2], defaults[1::2], strict=True)
            if pair[0] not in given
            for w in pair
        ]
        return main(SWEEP, [*argv, *kept])

    return call


@pytest.fixture
def start(here: Path) -> Callable[..., subprocess.Popen[str]]:
    """Start a sweep as a person would, in an empty folder, in a session of its own."""

    def call(*argv: str, sweep: str = "regularization", **variables: str) -> subprocess.Popen[str]:
        environment = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "MEMORY_STUDY_DATA": str(here / "data"),
            **variables,
        }
        return subprocess.Popen(
            [sys.executable, "-m", f"sweeps.{sweep}", *argv],
            cwd=here,
            env=environment,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )

    return call


@pytest.fixture
def patched(here: Path) -> Callable[[str, str], str]:
    """The PYTHONPATH that makes ``change(module)`` be called for a module wherever it is imported."""

    def path(module: str, change: str) -> str:
        write_patch(here / "site", module, change)
        return f"{here / 'site'}{os.pathsep}{ROOT}"

    return path


@pytest.fixture
def slower(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The PYTHONPATH with which an epoch takes a twentieth of a second longer."""
    folder = tmp_path_factory.mktemp("slower") / "site"
    write_slower(folder, 0.05)
    return f"{folder}{os.pathsep}{ROOT}"


@pytest.fixture
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """An MLflow server on SQLite."""
    running = Server(tmp_path_factory.mktemp("server"))
    yield running
    running.stop()


@pytest.fixture
def nodes() -> Iterator[Nodes]:
    """A head of a cluster without CPUs; tests add nodes to it."""
    running = Nodes()
    yield running
    running.end()


@pytest.fixture
def rows(here: Path) -> Callable[[str], Sequence[tuple[object, ...]]]:
    """Read the store of this folder with SQL."""
    import sqlite3

    def read(query: str) -> Sequence[tuple[object, ...]]:
        with sqlite3.connect(here / "mlflow.db") as connection:
            return connection.execute(query).fetchall()

    return read
