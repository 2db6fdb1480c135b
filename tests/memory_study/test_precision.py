"""No digits of a float32 are lost on a GPU. There is none here, but what it would be told is kept by torch all the same."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from memory_study import datasets
from memory_study._precision import full_precision
from memory_study.cohort import Cohort
from memory_study.config import TrialConfig
from memory_study.run import run_cohort

ROOT = Path(__file__).parents[2]


class StoppedError(Exception):
    """Before anything is trained."""


@pytest.fixture(autouse=True)
def _as_torch_has_it() -> Iterator[None]:
    yield
    torch.backends.cudnn.allow_tf32 = True
    torch.backends.cuda.matmul.fp32_precision = "none"


@pytest.mark.parametrize(("device", "precision"), [("cuda", "ieee"), ("cpu", "tf32")])
def test_a_cohort_on_a_gpu_does_not_convolve_in_tf32(
    device: str, precision: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def stop(*_: object) -> None:
        raise StoppedError

    monkeypatch.setattr(datasets, "load", stop)
    assert torch.backends.cudnn.conv.fp32_precision == "tf32"
    with pytest.raises(StoppedError):
        run_cohort(Cohort((TrialConfig(),)), location=tmp_path, device=device)
    assert torch.backends.cudnn.conv.fp32_precision == precision
    assert torch.backends.cuda.matmul.fp32_precision != "tf32"


def test_nor_does_it_multiply_in_tf32_whatever_the_environment_says() -> None:
    code = (
        "import torch; from memory_study._precision import full_precision\n"
        "assert torch.backends.cuda.matmul.fp32_precision == 'tf32'\n"
        "full_precision(torch.device('cuda'))\n"
        # What products on a GPU ask for: it raises where torch's two interfaces disagree.
        "assert not torch.backends.cuda.matmul.allow_tf32\n"
        "assert torch.backends.cuda.matmul.fp32_precision == 'ieee'"
    )
    allowed = {**os.environ, "TORCH_ALLOW_TF32_CUBLAS_OVERRIDE": "1"}
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True, env=allowed, cwd=ROOT)


def test_it_may_be_said_again_and_again() -> None:
    for _ in range(2):
        full_precision(torch.device("cuda"))
    assert torch.backends.cudnn.conv.fp32_precision == "ieee"
