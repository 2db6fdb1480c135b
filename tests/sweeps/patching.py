"""A change of a module in whatever process imports it."""

from __future__ import annotations

from pathlib import Path

PATCH = """
import os, sys, time
from importlib.machinery import PathFinder

{change}

class Patch:
    def find_spec(self, name, path, target=None):
        if name != "{module}":
            return None
        spec = PathFinder.find_spec(name, path)
        load = spec.loader.exec_module
        def exec_module(module):
            load(module)
            change(module)
        spec.loader.exec_module = exec_module
        return spec

sys.meta_path.insert(0, Patch())
"""
"""A module that Python imports first."""


def write_patch(folder: Path, module: str, change: str) -> None:
    """Fill ``folder`` with what makes ``change(module)`` be called wherever a module is imported and it is in PYTHONPATH."""
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(PATCH.format(module=module, change=change))
