"""What importing the analysis loads: never the science's libraries, and nothing slow for a listing."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
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


def loaded_by(*modules: str) -> dict[str, set[str]]:
    """What is loaded after each of these modules, which one fresh process imports one after the other."""
    code = "import importlib, json, sys\nfor name in sys.argv[1:]:\n" + textwrap.indent(
        "importlib.import_module(name)\nprint(json.dumps(list(sys.modules)))", "    "
    )
    result = subprocess.run(
        [sys.executable, "-c", code, *modules], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return {m: set(json.loads(line)) for m, line in zip(modules, result.stdout.splitlines(), strict=True)}


def test_no_module_of_the_analysis_loads_the_science() -> None:
    assert len(MODULES) > 50
    for module, loaded in loaded_by(*MODULES).items():
        assert not loaded & FORBIDDEN, module
        assert {name for name in loaded if name.split(".")[0] == "memory_study"} <= OURS, module


@pytest.mark.parametrize("module", ["analysis.__main__", "analysis.figures"])
def test_listing_figures_loads_nothing_slow(module: str) -> None:
    assert not loaded_by(module)[module] & {"numpy", "pandas", "matplotlib", "mlflow", "sqlalchemy"}


@pytest.mark.parametrize("module", ["analysis._sql", "analysis.figures.regularization"])
def test_mlflow_is_loaded_only_to_log_or_to_ask_a_server(module: str) -> None:
    assert "mlflow" not in loaded_by(module)[module]
