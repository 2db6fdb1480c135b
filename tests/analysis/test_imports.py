"""What importing the analysis loads: never the science's libraries, and nothing slow for a listing."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MODULES = sorted(
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    for path in (ROOT / "analysis").rglob("*.py")
)
FORBIDDEN = {"torch", "torchvision", "ray", "sweeps", "optuna"}
OURS = {
    "memory_study",
    *(f"memory_study.{module}" for module in ("config", "identity", "record", "_version", "_fingerprint")),
}


LIBRARIES = ("matplotlib.pyplot", "numpy", "pandas", "scipy.stats", "sqlalchemy")
"""What most modules import, and what takes nearly all of their time."""
IMPORT_EACH = """
import importlib, json, os, sys
libraries, modules = map(json.loads, sys.argv[1:])
for library in libraries:
    importlib.import_module(library)
for module in modules:
    child = os.fork()
    if child == 0:
        importlib.import_module(module)
        print(json.dumps(list(sys.modules)), flush=True)
        os._exit(0)
    if os.waitpid(child, 0)[1]:
        sys.exit(f"{module} cannot be imported alone")
"""


def loaded_by(modules: Sequence[str], libraries: Sequence[str] = ()) -> dict[str, set[str]]:
    """What is loaded in a process that has imported these libraries and one of these modules, for each of them."""
    command = [sys.executable, "-c", IMPORT_EACH, json.dumps(libraries), json.dumps(modules)]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return {m: set(json.loads(line)) for m, line in zip(modules, result.stdout.splitlines(), strict=True)}


def test_no_module_of_the_analysis_loads_the_science() -> None:
    assert len(MODULES) > 50
    for module, loaded in loaded_by(MODULES, LIBRARIES).items():
        assert not loaded & FORBIDDEN, module
        assert {name for name in loaded if name.split(".")[0] == "memory_study"} <= OURS, module


@pytest.mark.parametrize("module", ["analysis.__main__", "analysis.figures"])
def test_listing_figures_loads_nothing_slow(module: str) -> None:
    assert not loaded_by([module])[module] & {"numpy", "pandas", "matplotlib", "mlflow", "sqlalchemy"}


@pytest.mark.parametrize("module", ["analysis._sql", "analysis.figures.regularization"])
def test_mlflow_is_loaded_only_to_log_or_to_ask_a_server(module: str) -> None:
    assert "mlflow" not in loaded_by([module])[module]
