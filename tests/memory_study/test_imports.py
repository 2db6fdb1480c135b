from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MODULES = sorted(
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    for path in (ROOT / "memory_study").rglob("*.py")
)
STANDARD_LIBRARY_ONLY = (
    "record",
    "identity",
    "config",
    "cost",
    "cohort",
    "_history",
    "_version",
    "regularizers",
)


def loaded(*modules: str) -> set[str]:
    """Top-level names of what a fresh process has loaded after it imported ``modules``."""
    code = f"import sys, {', '.join(modules)}; print(*{{name.partition('.')[0] for name in sys.modules}})"
    command = [sys.executable, "-c", code]
    return set(subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT).stdout.split())


def test_the_whole_science_loads_neither_ray_nor_mlflow_nor_pandas() -> None:
    # One process for all of them: a module that loads one of these would be seen whatever came before it.
    assert not loaded(*MODULES) & {"ray", "mlflow", "pandas", "optuna", "sweeps", "analysis"}


@pytest.mark.parametrize("module", STANDARD_LIBRARY_ONLY)
def test_what_other_rooms_read_needs_the_standard_library_only(module: str) -> None:
    ours_and_python = sys.stdlib_module_names | {"memory_study", "__main__", "__mp_main__"}
    # A process starts with what .pth files of the environment load, which is not the module's doing.
    assert not loaded(f"memory_study.{module}") - loaded("sys") - ours_and_python


def test_asking_for_every_regularizer_needs_no_torch() -> None:
    code = (
        "import sys; from memory_study import regularizers as r; "
        "[list(r.problems(kind, 0.1)) for kind in r.kinds()]; print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "False"
