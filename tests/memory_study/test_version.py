from __future__ import annotations

from pathlib import Path

import pytest

from memory_study import _version
from memory_study._version import code_version


def test_the_code_version_is_the_commit_of_a_checkout() -> None:
    version, dirty = code_version()
    assert version
    assert isinstance(dirty, bool)


def test_a_copy_outside_a_checkout_has_the_packages_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "memory_study").mkdir()
    monkeypatch.setattr(_version, "__file__", str(tmp_path / "memory_study" / "_version.py"))
    version, dirty = code_version()
    assert len(version) < 40
    assert not dirty
