from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MODULES = sorted(f"sweeps.{path.stem}" for path in (ROOT / "sweeps").glob("*.py") if path.stem != "__init__")
MAY_IMPORT_RAY = {"sweeps._launch", "sweeps._worker"}
MAY_IMPORT_MLFLOW = {"sweeps._tables"}


@pytest.mark.parametrize("module", MODULES)
def test_modules_import_nothing_heavy(module: str) -> None:
    code = f"import sys, {module}; print(*{{name.partition('.')[0] for name in sys.modules}})"
    listed = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    loaded = set(listed.stdout.split())
    forbidden = {"torch", "pandas", "matplotlib", "sklearn"}
    forbidden |= set() if module in MAY_IMPORT_RAY else {"ray"}
    forbidden |= set() if module in MAY_IMPORT_MLFLOW else {"mlflow", "sqlalchemy"}
    forbidden -= {"pandas", "sklearn"} if module in MAY_IMPORT_MLFLOW else set()
    assert not loaded & forbidden


def seconds(*argv: str) -> float:
    started = time.monotonic()
    command = [sys.executable, "-m", "sweeps.regularization", *argv]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout
    return time.monotonic() - started


def test_help_is_there_at_once() -> None:
    assert min(seconds("--help") for _ in range(3)) < 0.5


def test_a_dry_run_starts_nothing(tmp_path: Path) -> None:
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    assert min(seconds("--dry-run", "--tracking-uri", uri) for _ in range(3)) < 0.8
    assert not list(tmp_path.iterdir())
