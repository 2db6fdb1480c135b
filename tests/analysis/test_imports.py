"""What importing the analysis loads: never the science's libraries, and nothing slow for a listing."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Sequence
from importlib.metadata import packages_distributions
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


def imported_by(file: Path) -> set[str]:
    """The names of the top packages that a file imports, anywhere in it."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module.partition(".")[0])
    return found


def test_every_library_that_a_room_imports_is_a_dependency_by_its_own_name() -> None:
    """Else it is there only as long as another library needs it."""
    named = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    declared = {re.split(r"[^\w.-]", text)[0].lower() for text in named}
    rooms = ("memory_study", "sweeps", "analysis")
    files = [file for room in rooms for file in (ROOT / room).rglob("*.py")]
    imported = {name for file in files for name in imported_by(file)} - {*rooms, *sys.stdlib_module_names}
    made_by = packages_distributions()
    assert "requests" in imported
    assert not [name for name in imported if not declared & {each.lower() for each in made_by[name]}]


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
