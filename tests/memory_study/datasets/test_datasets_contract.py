"""What holds for every data set, and how one is found."""

from __future__ import annotations

import pickle
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from memory_study.config import TrialConfig
from memory_study.datasets import (
    DataError,
    Images,
    Splits,
    _find,
    describe,
    digits,
    load,
    location,
    names,
    prepare,
)
from memory_study.datasets._splits import _statistics, split

Offline = Callable[[str], tuple[str, Path]]
Load = Callable[..., Splits]
EVERY = (*names(), "folder")
every_data_set = pytest.mark.parametrize("name", EVERY)
sizes = st.integers(1, digits.DATASET.prepare(Path(), 0).largest_train_size)


def _numbered(dataset: str, data_dir: Path) -> Images:
    """The images of a data set, labelled by their position: test images after the others."""
    images = _find.find(dataset).read(location(dataset, data_dir), 0)
    count = len(images.train)
    tests = None if images.test is None else torch.arange(count, count + len(images.test))
    return replace(images, train_labels=torch.arange(count), test_labels=tests)


def test_the_data_sets_are_those_that_have_a_file():
    assert names() == ("cifar10", "digits", "mnist")


@every_data_set
def test_what_prepare_promises_is_what_load_gives(name: str, offline: Offline, loaded: Load):
    dataset, data_dir = offline(name)
    promised = describe(dataset, data_dir)
    info = prepare(dataset, data_dir)
    assert promised == info
    data = loaded(dataset, data_dir, info.largest_train_size)
    assert data.classes == info.classes
    assert data.train_inputs.shape == (info.largest_train_size, *info.image_shape)
    assert data.validation_inputs.shape == (info.held_out, *info.image_shape)
    assert data.test_inputs.shape == (info.test_examples, *info.image_shape)
    assert info.held_out + info.largest_train_size == info.train_examples
    assert len(data.mean) == len(data.std) == info.image_shape[0]


@every_data_set
def test_inputs_are_fractions_and_labels_are_classes(name: str, offline: Offline, loaded: Load):
    data = loaded(*offline(name))
    for part in ("train", "validation", "test"):
        inputs, labels = getattr(data, f"{part}_inputs"), getattr(data, f"{part}_labels")
        assert inputs.dtype == torch.float32
        assert inputs.is_contiguous()
        assert 0 <= inputs.min() < 0.1 < 0.9 < inputs.max() <= 1
        assert labels.dtype == torch.int64
        assert labels.shape == inputs.shape[:1]
        assert 0 <= labels.min() <= labels.max() < len(data.classes)


@every_data_set
def test_every_image_is_used_once(name: str, offline: Offline):
    images = _numbered(*offline(name))
    data = split(images, TrialConfig(train_size=images.info.largest_train_size))
    used = torch.cat([data.train_labels, data.validation_labels, data.test_labels])
    assert sorted(used.tolist()) == list(range(images.info.train_examples + images.info.test_examples))


@every_data_set
def test_smaller_training_sets_are_contained_in_larger_ones(name: str, offline: Offline):
    images = _numbered(*offline(name))
    small, large = (split(images, TrialConfig(train_size=size)) for size in (5, 16))
    assert torch.equal(small.train_labels, large.train_labels[:5])
    assert torch.equal(small.train_inputs, large.train_inputs[:5])
    assert torch.equal(small.validation_labels, large.validation_labels)
    assert torch.equal(small.test_labels, large.test_labels)


@settings(max_examples=30, deadline=None)  # other work on the machine is no failure
@given(a=sizes, b=sizes, seed=st.integers(0, 2**31))
def test_training_sets_of_digits_are_nested_for_any_sizes_and_seed(a: int, b: int, seed: int):
    small, large = (
        load(TrialConfig(train_size=size, split_seed=seed), Path()) for size in (min(a, b), max(a, b))
    )
    assert torch.equal(small.train_inputs, large.train_inputs[: min(a, b)])
    assert torch.equal(small.validation_inputs, large.validation_inputs)
    assert torch.equal(small.test_inputs, large.test_inputs)


@every_data_set
def test_another_split_seed_holds_out_other_images(name: str, offline: Offline):
    images = _numbered(*offline(name))
    first, again, other = (split(images, TrialConfig(train_size=8, split_seed=seed)) for seed in (0, 0, 1))
    assert torch.equal(first.validation_labels, again.validation_labels)
    assert not torch.equal(first.validation_labels, other.validation_labels)
    assert not torch.equal(first.train_labels, other.train_labels)


@every_data_set
def test_validating_on_the_test_set_leaves_training_as_it_was(name: str, offline: Offline):
    images = _numbered(*offline(name))
    held_out = split(images, TrialConfig(train_size=8))
    as_in_the_papers = split(images, TrialConfig(train_size=8, validation="test"))
    assert torch.equal(as_in_the_papers.train_labels, held_out.train_labels)
    assert torch.equal(as_in_the_papers.validation_labels, held_out.test_labels)
    assert torch.equal(as_in_the_papers.validation_inputs, held_out.test_inputs)


def test_digits_are_those_of_scikit_learn(tmp_path: Path):
    from sklearn.datasets import load_digits

    expected, found = load_digits(), digits.DATASET.read(tmp_path, 0)
    assert torch.equal(found.train.squeeze(1), torch.from_numpy(expected.images).to(torch.uint8))
    assert torch.equal(found.train_labels, torch.from_numpy(expected.target).long())
    assert found.train.is_contiguous()


def test_the_split_of_digits_is_the_one_that_old_trials_had(tmp_path: Path):
    data = split(_numbered("digits", tmp_path), TrialConfig(split_seed=0))
    assert data.validation_labels[:6].tolist() == [677, 240, 1643, 835, 1048, 174]
    assert data.train_labels[:6].tolist() == [682, 1264, 31, 702, 1534, 894]


@every_data_set
def test_asking_for_too_many_examples_names_the_most_there_are(name: str, offline: Offline, loaded: Load):
    dataset, data_dir = offline(name)
    most = prepare(dataset, data_dir).largest_train_size
    with pytest.raises(DataError, match=rf"--train-size {most + 1} is more .* use {most} or fewer"):
        loaded(dataset, data_dir, most + 1)


@every_data_set
def test_a_crop_is_the_centre_of_the_image(name: str, offline: Offline, loaded: Load):
    dataset, data_dir = offline(name)
    whole = loaded(dataset, data_dir).train_inputs
    top, left = (whole.shape[2] - 4) // 2, (whole.shape[3] - 4) // 2
    cropped = loaded(dataset, data_dir, crop=4).train_inputs
    assert torch.equal(cropped, whole[:, :, top : top + 4, left : left + 4])
    assert cropped.is_contiguous()


@every_data_set
def test_a_crop_larger_than_the_image_names_the_size(name: str, offline: Offline, loaded: Load):
    dataset, data_dir = offline(name)
    _, height, width = prepare(dataset, data_dir).image_shape
    with pytest.raises(
        DataError, match=f"--crop 33 .* {height}x{width} images .* use {min(height, width)} or less"
    ):
        loaded(dataset, data_dir, crop=33)


@every_data_set
@pytest.mark.parametrize("size", [4, 40])
def test_images_are_resized_to_any_size_before_they_are_cropped(
    name: str, size: int, offline: Offline, loaded: Load
):
    dataset, data_dir = offline(name)
    channels = prepare(dataset, data_dir).image_shape[0]
    assert prepare(dataset, data_dir, image_size=size).image_shape == (channels, size, size)
    data = loaded(dataset, data_dir, image_size=size, crop=3)
    assert data.train_inputs.shape == (8, channels, 3, 3)
    assert 0 <= data.train_inputs.min() < data.train_inputs.max() <= 1


def test_mnist_of_14_pixels_is_averages_of_2_by_2(offline: Offline, loaded: Load):
    dataset, data_dir = offline("mnist")
    whole = loaded(dataset, data_dir).train_inputs
    averages = whole.reshape(8, 1, 14, 2, 14, 2).mean((3, 5))
    torch.testing.assert_close(loaded(dataset, data_dir, image_size=14).train_inputs, averages)


@every_data_set
def test_mean_and_deviation_are_those_of_the_images_trained_on(name: str, offline: Offline, loaded: Load):
    data = loaded(*offline(name), train_size=7)
    pixels = data.train_inputs.double().numpy()
    np.testing.assert_allclose(data.mean, pixels.mean((0, 2, 3)), rtol=1e-6)
    np.testing.assert_allclose(data.std, pixels.std((0, 2, 3)), rtol=1e-6)


@given(level=st.integers(0, 255))
def test_a_constant_channel_still_has_something_to_divide_by(level: int):
    mean, std = _statistics(torch.full((3, 1, 9, 9), level / 255), 1 / 255)
    assert mean == pytest.approx([level / 255])
    assert std == (pytest.approx(1 / 255),)


@every_data_set
def test_the_last_load_is_kept_and_another_trial_of_the_same_data_gets_it(
    name: str, offline: Offline, loaded: Load
):
    dataset, data_dir = offline(name)
    first = loaded(dataset, data_dir, seed=0)
    assert loaded(dataset, data_dir, seed=1, width=7, corruption="randY", corruption_level=0.5) is first
    assert loaded(dataset, data_dir, train_size=9) is not first


@pytest.mark.parametrize("wrong", ["imagenet", "folder", "folder:", "mnist:x", "_source", ""])
def test_an_unknown_data_set_is_answered_with_the_choices(wrong: str, tmp_path: Path):
    with pytest.raises(DataError, match=r"is not known; choose from cifar10, digits, mnist, or folder:PATH"):
        prepare(wrong, tmp_path)


def test_a_negative_image_size_is_refused(tmp_path: Path):
    with pytest.raises(DataError, match="--image-size -1 is too small; use 0"):
        prepare("digits", tmp_path, image_size=-1)


def test_the_home_folder_is_expanded_and_paths_are_made_absolute(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert location("mnist", Path("~/data")) == tmp_path / "data"
    assert location("folder:~/pets", Path("data")) == tmp_path / "pets"
    assert location("folder:a/../pets", Path("data")) == tmp_path / "pets"


def test_a_home_folder_of_nobody_is_bad_input(tmp_path: Path):
    with pytest.raises(DataError, match="write the whole path"):
        location("mnist", Path("~nobody-has-this-name/data"))


def test_an_error_is_one_line_and_survives_the_way_back_from_a_worker():
    error = DataError("one\ntwo")
    assert str(error) == str(pickle.loads(pickle.dumps(error))) == "one two"


@pytest.mark.parametrize(
    ("code", "unwanted"),
    [
        ("datasets.names()", ("torch", "numpy", "sklearn", "PIL")),
        ("datasets.prepare('digits', Path('data'))", ("torch", "sklearn", "PIL")),
    ],
)
def test_listing_and_preparing_digits_imports_nothing_heavy(code: str, unwanted: tuple[str, ...]):
    script = (
        f"import sys; from pathlib import Path; from memory_study import datasets; {code}; "
        f"print([m for m in {unwanted!r} if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
