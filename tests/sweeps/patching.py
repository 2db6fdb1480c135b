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


SLOWER = """
def change(train):
    epoch = train.Training.train_epoch
    def slower(*arguments):
        time.sleep({seconds})
        epoch(*arguments)
    train.Training.train_epoch = slower
"""
"""So that training takes a while on any machine, and no other process's time."""


def write_slower(folder: Path, seconds: float) -> None:
    """Fill ``folder`` with what makes each epoch take these seconds longer where it is in PYTHONPATH."""
    write_patch(folder, "memory_study.train", SLOWER.format(seconds=seconds))


def write_patch(folder: Path, module: str, change: str) -> None:
    """Fill ``folder`` with what makes ``change(module)`` be called wherever a module is imported and it is in PYTHONPATH."""
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(PATCH.format(module=module, change=change))
