from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import ModuleType

import pytest

from memory_study.config import TrialConfig


def rewriter() -> ModuleType:
    spec = importlib.util.spec_from_file_location(
        "rewriter", Path(__file__).with_name("rewrite_golden_ids.py")
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


REWRITER = rewriter()
GOLDEN: dict[str, str] = json.loads(REWRITER.FILE.read_text())


@pytest.mark.parametrize("name", REWRITER.CONFIGS)
def test_ids_are_what_they_were(name: str) -> None:
    assert TrialConfig(**REWRITER.CONFIGS[name]).id == GOLDEN[name]


def test_the_golden_file_holds_each_config_once() -> None:
    assert GOLDEN.keys() == REWRITER.CONFIGS.keys()
    assert len(set(GOLDEN.values())) == len(GOLDEN)
