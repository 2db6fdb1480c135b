"""What importing the analysis loads: never the science's libraries, and nothing slow for a listing."""

from __future__ import annotations

import subprocess
import sys
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


def loaded_by(module: str) -> set[str]:
    """The modules in a fresh process that has imported this one."""
    code = f"import sys, {module}; print(*sys.modules)"
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return set(result.stdout.split())


@pytest.mark.parametrize("module", MODULES)
def test_no_module_of_the_analysis_loads_the_science(module: str) -> None:
    loaded = loaded_by(module)
    assert not loaded & FORBIDDEN
    assert {name for name in loaded if name.split(".")[0] == "memory_study"} <= OURS


@pytest.mark.parametrize("module", ["analysis.__main__", "analysis.figures"])
def test_listing_figures_loads_nothing_slow(module: str) -> None:
    assert not loaded_by(module) & {"numpy", "pandas", "matplotlib", "mlflow", "sqlalchemy"}


@pytest.mark.parametrize("module", ["analysis._sql", "analysis.figures.regularization"])
def test_mlflow_is_loaded_only_to_log_or_to_ask_a_server(module: str) -> None:
    assert "mlflow" not in loaded_by(module)
