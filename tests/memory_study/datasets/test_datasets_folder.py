"""Image folders: what is read, what is cached, and what is refused."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from fake_data import write_images
from PIL import Image
from torchvision import transforms
from torchvision.datasets import ImageFolder

from memory_study.config import TrialConfig
from memory_study.datasets import DataError, DatasetInfo, Images, _decode, load, prepare
from memory_study.datasets import folder as folder_module
from memory_study.datasets._cache import Cache
from memory_study.datasets._listing import list_images

ANYWHERE = Path("unused")


def info_of(root: Path, image_size: int = 0) -> DatasetInfo:
    return prepare(f"folder:{root}", ANYWHERE, image_size)


def read(root: Path, image_size: int = 0) -> Images:
    return folder_module.DATASET.read(root, image_size)


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Which folders were decoded, so that a test can see when the cache was used."""
    calls: list[Path] = []
    original = _decode.decode

    def spy(root: Path, *rest: object) -> object:
        calls.append(root)
        return original(root, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(_decode, "decode", spy)
    return calls


@pytest.mark.parametrize("image_size", [0, 8, 20])
def test_images_and_labels_are_those_of_torchvisions_image_folder(folder: Path, image_size: int):
    resize = [transforms.Resize(image_size), transforms.CenterCrop(image_size)] if image_size else []
    (folder / "train" / "cat" / "more").mkdir()
    shutil.copy(folder / "train" / "cat" / "3.png", folder / "train" / "cat" / "more" / "3.PNG")
    (folder / "train" / "cat" / "notes.txt").write_text("not an image")
    theirs = ImageFolder(str(folder / "train"), transforms.Compose([*resize, transforms.PILToTensor()]))
    ours = read(folder, image_size)
    expected = {(label, image.numpy().tobytes()) for image, label in theirs}
    found = {
        (int(label), image.numpy().tobytes())
        for image, label in zip(ours.train, ours.train_labels, strict=True)
    }
    assert found == expected
    assert len(ours.train) == len(theirs) == 21
    assert ours.info.classes == tuple(theirs.classes)


def test_a_folder_is_called_by_its_own_name_and_holds_out_a_tenth(folder: Path):
    info = info_of(folder)
    assert (info.name, info.image_shape, info.classes) == ("folder:pets", (3, 10, 12), ("cat", "dog"))
    assert (info.train_examples, info.held_out, info.test_examples) == (20, 2, 6)


def test_at_least_one_image_is_held_out(tmp_path: Path):
    assert info_of(write_images(tmp_path / "tiny", train=1)).held_out == 1


@pytest.mark.parametrize(
    ("mode", "channels"), [("L", 1), ("1", 1), ("RGB", 3), ("P", 3), ("LA", 3), ("RGBA", 3)]
)
def test_images_are_grey_where_all_are_grey(tmp_path: Path, mode: str, channels: int):
    assert info_of(write_images(tmp_path / "pets", mode=mode)).image_shape[0] == channels


def test_one_coloured_image_makes_all_of_them_coloured(tmp_path: Path):
    root = write_images(tmp_path / "pets", mode="L")
    grey = read(root).train
    pixels = np.random.default_rng(2).integers(0, 256, (10, 12, 3), np.uint8)
    Image.fromarray(pixels).save(root / "test" / "dog" / "2.png")
    images = read(root)
    assert images.test is not None
    assert torch.equal(images.train, grey.expand(-1, 3, -1, -1))
    assert torch.equal(images.test[-1], torch.from_numpy(pixels).permute(2, 0, 1))


def test_the_digest_depends_on_content_and_names_but_not_on_place_time_or_size(folder: Path, tmp_path: Path):
    digest = info_of(folder).digest
    copy = Path(shutil.copytree(folder, tmp_path / "elsewhere" / "cats"))
    os.utime(copy / "train" / "cat" / "0.png", (1, 1))
    assert len(digest) == 16
    assert info_of(copy).digest == info_of(copy, image_size=8).digest == digest
    (copy / "train" / "cat" / "0.png").rename(copy / "train" / "dog" / "new.png")
    assert info_of(copy).digest != digest


def test_images_are_decoded_once(folder: Path, decoded: list[Path]):
    first, again = read(folder), read(folder)
    assert len(decoded) == 1
    assert info_of(folder) == first.info == again.info
    assert torch.equal(first.train, again.train)
    assert len(decoded) == 1
    read(folder, image_size=8)
    assert len(decoded) == 2


def _change(folder: Path) -> None:
    path = folder / "train" / "cat" / "0.png"
    Image.fromarray(255 - np.asarray(Image.open(path))).save(path)


CHANGES: dict[str, Callable[[Path], object]] = {
    "changed": _change,
    "removed": lambda folder: (folder / "train" / "cat" / "0.png").unlink(),
    "renamed": lambda folder: (folder / "train" / "cat" / "0.png").rename(folder / "train" / "cat" / "x.png"),
    "added": lambda folder: shutil.copy(
        folder / "train" / "cat" / "0.png", folder / "train" / "dog" / "x.png"
    ),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_folder_that_changed_is_decoded_again(folder: Path, change: str):
    before = info_of(folder).digest
    CHANGES[change](folder)
    assert info_of(folder).digest != before


def test_a_trial_of_other_images_is_refused(folder: Path):
    config = TrialConfig(dataset="folder:pets", dataset_digest=info_of(folder).digest, train_size=8)
    load(config, folder)
    _change(folder)
    with pytest.raises(
        DataError, match=rf"images of folder:pets changed: .* {config.dataset_digest}; restore"
    ):
        load(TrialConfig(dataset="folder:pets", dataset_digest=config.dataset_digest, train_size=9), folder)


def test_a_trial_that_names_no_digest_gets_the_images_as_they_are_now(folder: Path):
    config = TrialConfig(dataset="folder:pets", train_size=18)
    before = load(config, folder)
    assert load(config, folder) is before
    _change(folder)
    assert load(config, folder).mean != before.mean


@pytest.mark.parametrize("damage", ["flipped", "truncated", "missing", "sidecar"])
def test_a_damaged_cache_is_made_again(folder: Path, decoded: list[Path], damage: str):
    good = read(folder)
    cache = Cache.of(list_images(folder), 0)
    content = bytearray(cache.payload.read_bytes())
    if damage == "flipped":
        content[len(content) // 2] ^= 1
        cache.payload.write_bytes(content)
    elif damage == "truncated":
        cache.payload.write_bytes(content[:-1])
    elif damage == "missing":
        cache.payload.unlink()
    else:
        cache.sidecar.write_text('{"key"')
    assert torch.equal(read(folder).train, good.train)
    assert len(decoded) == 2


def test_a_cache_that_was_half_written_is_not_read(folder: Path, decoded: list[Path]):
    read(folder)
    cache = Cache.of(list_images(folder), 0)
    cache.payload.rename(cache.payload.with_name(cache.payload.name + ".partial"))
    cache.sidecar.unlink()
    read(folder)
    assert len(decoded) == 2
    assert not list(cache.payload.parent.glob("*.partial"))


def test_the_cache_holds_one_entry_of_a_folder_that_keeps_changing(folder: Path):
    for _ in range(3):
        _change(folder)
        info_of(folder)
    assert len(list(Cache.of(list_images(folder), 0).payload.parent.glob("*.pt"))) == 1


def test_a_cache_in_place_needs_no_torch(folder: Path):
    info_of(folder)
    script = (
        "import sys; from pathlib import Path; from memory_study.datasets import prepare; "
        "print(prepare(f'folder:{sys.argv[1]}', Path()).name, 'torch' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(folder)], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["folder:pets", "False"]


def test_four_processes_decode_once(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    original = folder_module._decoded

    def counted(*arguments: object) -> Images:
        (tmp_path / f"decoded by {os.getpid()}").touch()
        return original(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(folder_module, "_decoded", counted)
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=info_of, args=(folder,)) for _ in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0] * 4
    assert len(list(tmp_path.glob("decoded by *"))) == 1


def test_a_cache_that_cannot_be_made_is_bad_input(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(DataError, match=r"cannot be written .* XDG_CACHE_HOME"):
        info_of(folder)


def test_a_full_disk_is_bad_input_and_leaves_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch):
    def full(tensors: object, file: object) -> None:
        raise RuntimeError("PytorchStreamWriter failed writing file")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(DataError, match=r"cannot write the decoded images .* make room"):
        info_of(folder)
    assert [p.suffix for p in Cache.of(list_images(folder), 0).payload.parent.iterdir()] == [".lock"]


def test_images_of_different_sizes_are_named_with_what_to_do(folder: Path):
    Image.new("RGB", (7, 9)).save(folder / "test" / "dog" / "2.png")
    with pytest.raises(
        DataError,
        match=r"different sizes \(10x12 as train/cat/0.png, 9x7 as test/dog/2.png\); use --image-size 7 ",
    ):
        info_of(folder)
    assert info_of(folder, image_size=7).image_shape == (3, 7, 7)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is not an image; mend or remove it"),
        (b"no image at all", "is not an image; mend or remove it"),
        (None, r"cannot decode .*truncated.*; mend or remove it"),
    ],
)
def test_an_image_that_cannot_be_decoded_is_named(folder: Path, content: bytes | None, reason: str):
    path = folder / "train" / "dog" / "4.png"
    path.write_bytes(path.read_bytes()[:-60] if content is None else content)
    with pytest.raises(DataError, match=reason) as caught:
        info_of(folder)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_images_of_16_bits_are_refused_rather_than_clipped(folder: Path):
    pixels = np.full((10, 12), 40_000, np.uint16)
    Image.fromarray(pixels).save(folder / "train" / "dog" / "4.png")
    with pytest.raises(DataError, match=r"4\.png .*more than 8 bits"):
        info_of(folder)


WRONG: dict[str, tuple[Callable[[Path], object], str]] = {
    "no folder": (shutil.rmtree, r"cannot list .*pets/train \(No such file.* needs PATH/train/<class>/"),
    "no train": (lambda root: shutil.rmtree(root / "train"), r"cannot list .*pets/train "),
    "no test": (lambda root: shutil.rmtree(root / "test"), r"cannot list .*pets/test .* PATH/test/<class>/"),
    "a file": (lambda root: (shutil.rmtree(root), root.write_text("")), "Not a directory"),
    "another class": (lambda root: (root / "test" / "owl").mkdir(), r"different classes \(owl only in one"),
    "an empty class": (
        lambda root: [path.unlink() for path in (root / "train" / "cat").iterdir()],
        r"train/cat has no images \(.jpg",
    ),
    "no classes": (
        lambda root: [shutil.rmtree(path) for path in (root / "train").iterdir()],
        "train has no folders; put the images of each class",
    ),
    "a broken link": (
        lambda root: (root / "train" / "cat" / "z.png").symlink_to("gone"),
        r"cannot read .*z.png",
    ),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_a_folder_that_is_no_data_set_says_what_is_missing(folder: Path, wrong: str):
    spoil, reason = WRONG[wrong]
    spoil(folder)
    with pytest.raises(DataError, match=reason) as caught:
        info_of(folder)
    assert "\n" not in str(caught.value)


def test_one_training_image_is_too_few(tmp_path: Path):
    root = write_images(tmp_path / "pets", train=1)
    for part in ("train", "test"):
        shutil.rmtree(root / part / "dog")
    with pytest.raises(DataError, match="one image only; training and validation need one each"):
        info_of(root)


def test_a_subfolder_that_cannot_be_listed_is_named_rather_than_left_out(
    folder: Path, monkeypatch: pytest.MonkeyPatch
):
    # Simulated, because root may list everything.
    def walk(top: Path, onerror: Callable[[OSError], None], followlinks: bool) -> list[object]:
        onerror(PermissionError(13, "Permission denied", str(top)))
        return []

    monkeypatch.setattr(os, "walk", walk)
    with pytest.raises(DataError, match=r"cannot list .*train/cat \(Permission denied\)"):
        info_of(folder)
