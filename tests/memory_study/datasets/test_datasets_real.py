"""The published data itself, where this checkout has it beside it."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

import pytest

from memory_study.config import TrialConfig
from memory_study.datasets import load, location, prepare

SHARED = Path(__file__).parents[4] / "shared" / "data"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not SHARED.is_dir(), reason=f"needs real data in {SHARED}"),
]


def test_real_mnist_is_read_from_packed_files_in_a_folder_that_nobody_writes_to():
    before = set(SHARED.rglob("*"))
    info = prepare("mnist", SHARED)
    data = load(TrialConfig(dataset="mnist", train_size=50_000), location("mnist", SHARED))
    assert (info.train_examples, info.test_examples, info.largest_train_size) == (60_000, 10_000, 50_000)
    assert data.train_inputs.shape == (50_000, 1, 28, 28)
    assert data.validation_inputs.shape == data.test_inputs.shape == (10_000, 1, 28, 28)
    # The mean and deviation that everybody uses for MNIST.
    assert data.mean == pytest.approx([0.1307], abs=2e-4)
    assert data.std == pytest.approx([0.3081], abs=3e-4)
    assert data.test_labels[:5].tolist() == [7, 2, 1, 0, 4]
    assert set(SHARED.rglob("*")) == before


def test_sixty_thousand_jpeg_files_decode_in_under_a_minute_and_then_load_in_seconds(tmp_path: Path):
    subprocess.run(["tar", "xf", SHARED / "cifar10-imagefolder.tar.xz", "-C", tmp_path], check=True)
    dataset = f"folder:{tmp_path / 'cifar10'}"
    start = time.monotonic()
    info = prepare(dataset, tmp_path)
    assert time.monotonic() - start < 60
    assert (info.digest, info.image_shape) == ("78086fc20c1b1c15", (3, 32, 32))
    assert (info.train_examples, info.test_examples, info.held_out) == (50_000, 10_000, 5_000)
    start = time.monotonic()
    config = TrialConfig(
        dataset=info.name, dataset_digest=info.digest, train_size=45_000, crop=28, model="cnn-keras"
    )
    data = load(config, location(dataset, tmp_path))
    assert time.monotonic() - start < 10
    assert data.train_inputs.shape == (45_000, 3, 28, 28)
    assert data.train_labels.bincount().min() > 4_400
