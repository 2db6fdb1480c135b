from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]
MODULES = sorted(f"sweeps.{path.stem}" for path in (ROOT / "sweeps").glob("*.py") if path.stem != "__init__")
MAY_IMPORT_RAY = {"sweeps._launch", "sweeps._worker"}
MAY_IMPORT_MLFLOW = {"sweeps._tables"}
HEAVY = {"torch", "pandas", "matplotlib", "sklearn", "ray", "mlflow", "sqlalchemy"}


def test_modules_import_nothing_heavy() -> None:
    """In one process, those last that may import more."""
    order = sorted(MODULES, key=lambda module: (module in MAY_IMPORT_RAY, module in MAY_IMPORT_MLFLOW))
    assert len(order) > 30
    code = (
        "import importlib, sys\nfor name in sys.argv[1:]: importlib.import_module(name); print(*sys.modules)"
    )
    listed = subprocess.run(
        [sys.executable, "-c", code, *order], capture_output=True, text=True, check=True, cwd=ROOT
    )
    allowed: set[str] = set()
    for module, line in zip(order, listed.stdout.splitlines(), strict=True):
        allowed |= {"mlflow", "sqlalchemy", "pandas", "sklearn"} if module in MAY_IMPORT_MLFLOW else set()
        allowed |= {"ray"} if module in MAY_IMPORT_RAY else set()
        loaded = {name.partition(".")[0] for name in line.split()}
        assert not (loaded & HEAVY) - allowed, module


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
