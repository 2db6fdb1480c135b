"""Python environments that add something to the one that the tests run in."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
import venv
from importlib import metadata
from pathlib import Path

ROOT = Path(__file__).parents[2]


def on_top(folder: Path) -> Path:
    """The ``bin`` of a new environment that sees what is installed here; its ``ray`` and ``mlflow`` are its own."""
    venv.create(folder, with_pip=False)
    programs = folder / "bin"
    (site,) = folder.glob("lib/python*/site-packages")
    (site / "this.pth").write_text(f"import site; site.addsitedir({sysconfig.get_path('purelib')!r})\n")
    for command in metadata.entry_points(group="console_scripts"):
        if command.name in ("ray", "mlflow"):
            script = programs / command.name
            text = f"from {command.module} import {command.attr}\n{command.attr}()\n"
            script.write_text(f"#!{programs / 'python'}\n{text}")
            script.chmod(0o755)
    pip = programs / "pip"
    pip.write_text(f'#!/bin/sh\nexec {sys.executable} -m pip --python {programs / "python"} "$@"\n')
    pip.chmod(0o755)
    return programs


def install(programs: Path, *needs: str) -> str:
    """What pip says of installing these there, at the versions of constraints.txt; nothing if it could."""
    command = [programs / "pip", "install", "--quiet", "--disable-pip-version-check"]
    done = subprocess.run(
        [*command, "--constraint", ROOT / "constraints.txt", *needs],
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stderr[-500:] if done.returncode else ""
