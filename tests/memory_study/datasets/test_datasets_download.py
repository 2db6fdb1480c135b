"""Data sets that are downloaded: everything that can go wrong between the server and the disk."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torchvision
from fake_data import Published, Server

from memory_study.datasets import DataError, Splits, _files, cifar10, mnist, prepare
from memory_study.datasets._files import Files


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    return tmp_path / "data"


def _below(folder: Path) -> set[str]:
    """The files of a data folder, without the lock."""
    return {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file() and p.suffix != ".lock"}


def test_the_sums_of_cifar10_are_those_that_torchvision_knows():
    known = torchvision.datasets.CIFAR10
    assert [sum for _, sum in known.train_list] == list(cifar10.TRAIN.values())
    assert [sum for _, sum in known.test_list] == list(cifar10.TEST.values())
    assert [known.meta["md5"]] == list(cifar10.META.values())


def test_the_files_of_mnist_are_those_that_torchvision_knows():
    known = [name.removesuffix(".gz") for name, _ in torchvision.datasets.MNIST.resources]
    assert [Path(path).name for path in mnist.MD5] == known


def test_a_download_leaves_what_was_published_and_nothing_else(
    published: Published, data_dir: Path, loaded: Callable[..., Splits]
):
    prepare(published.name, data_dir)
    assert _below(data_dir) == set(published.files)
    assert all((data_dir / path).read_bytes() == content for path, content in published.files.items())
    assert loaded(published.name, data_dir).train_inputs.shape[0] == 8


def test_what_was_downloaded_is_what_torchvision_reads(published: Published, data_dir: Path):
    prepare(published.name, data_dir)
    kind = {"mnist": torchvision.datasets.MNIST, "cifar10": torchvision.datasets.CIFAR10}[published.name]
    theirs = torch.as_tensor(kind(data_dir, train=True).data)
    ours = {"mnist": mnist, "cifar10": cifar10}[published.name].DATASET.read(data_dir, 0).train
    assert torch.equal(ours.squeeze(1) if ours.shape[1] == 1 else ours.permute(0, 2, 3, 1), theirs)


def test_what_is_in_place_is_not_downloaded_again(published: Published, data_dir: Path, server: Server):
    published.put(data_dir)
    prepare(published.name, data_dir)
    assert not server.requests
    assert not (data_dir / f".{published.name}.lock").exists(), "a folder that cannot be written would fail"


def test_a_download_says_nothing(published: Published, data_dir: Path, capfd: pytest.CaptureFixture[str]):
    prepare(published.name, data_dir)
    assert capfd.readouterr() == ("", "")


def test_only_files_that_are_missing_are_put_in_place(published: Published, data_dir: Path):
    published.put(data_dir)
    gone, *others = published.files
    before = {path: (data_dir / path).stat().st_mtime_ns for path in others}
    (data_dir / gone).unlink()
    prepare(published.name, data_dir)
    assert (data_dir / gone).read_bytes() == published.files[gone]
    assert before == {path: (data_dir / path).stat().st_mtime_ns for path in others}


@pytest.mark.parametrize("fault", ["break off", "stall", "not found", "wrong bytes"])
def test_a_failed_download_leaves_nothing_and_the_next_one_succeeds(
    published: Published, data_dir: Path, server: Server, fault: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(_files, "STALL_SECONDS", 0.3)
    good = server.files[published.url_path]
    if fault in ("break off", "stall"):
        server.behaviour[published.url_path] = fault
    elif fault == "not found":
        del server.files[published.url_path]
    else:
        server.files[published.url_path] = good[:-9] + b"not those"
    with pytest.raises(DataError, match=f"cannot download {published.name} .* try again") as caught:
        prepare(published.name, data_dir)
    assert "\n" not in str(caught.value)
    assert _below(data_dir) == set()
    server.behaviour.clear()
    server.files[published.url_path] = good
    prepare(published.name, data_dir)
    assert _below(data_dir) == set(published.files)


def test_without_a_network_the_error_says_which_files_to_copy(
    published: Published, data_dir: Path, server: Server
):
    server.http.shutdown()
    server.http.server_close()
    with pytest.raises(DataError, match=next(iter(published.files))):
        prepare(published.name, data_dir)


def test_the_rest_of_a_killed_download_is_not_taken_for_data(
    published: Published, data_dir: Path, server: Server
):
    aside = data_dir / f".{published.name}.download"
    for path, content in published.files.items():
        (aside / path).parent.mkdir(parents=True, exist_ok=True)
        (aside / path).write_bytes(content[:-1])
    prepare(published.name, data_dir)
    assert server.requests
    assert _below(data_dir) == set(published.files)


@pytest.mark.parametrize("damage", ["truncated", "changed", "empty"])
def test_a_damaged_file_is_named_and_left_alone(
    published: Published, data_dir: Path, server: Server, damage: str
):
    published.put(data_dir)
    path = data_dir / list(published.files)[1]
    content = path.read_bytes()
    changed = content[:-1] + bytes([content[-1] ^ 1])
    path.write_bytes({"truncated": content[:-1], "changed": changed, "empty": b""}[damage])
    wrong = path.read_bytes()
    with pytest.raises(DataError, match=rf"{path}: not the published content .* delete it and run again"):
        prepare(published.name, data_dir)
    assert path.read_bytes() == wrong
    assert not server.requests
    path.unlink()
    prepare(published.name, data_dir)
    assert path.read_bytes() == content


def test_packed_files_alone_are_enough(published: Published, data_dir: Path, server: Server):
    published.put(data_dir, packed=True)
    prepare(published.name, data_dir)
    assert not server.requests


def test_packed_mnist_is_read_where_nothing_can_be_written(fake_mnist: Published, data_dir: Path):
    fake_mnist.put(data_dir, packed=True)
    before = set(data_dir.rglob("*"))
    mnist.DATASET.read(data_dir, 0)
    assert set(data_dir.rglob("*")) == before


def test_a_file_half_unpacked_is_read_from_its_packed_one(fake_mnist: Published, data_dir: Path):
    fake_mnist.put(data_dir, packed=True)
    path, content = next(iter(fake_mnist.files.items()))
    (data_dir / path).write_bytes(content[: len(content) // 2])
    assert len(mnist.DATASET.read(data_dir, 0).train) == 60


@pytest.mark.parametrize("keep", [0, 1, 500, -1])
def test_a_truncated_packed_file_is_named(published: Published, data_dir: Path, server: Server, keep: int):
    published.put(data_dir, packed=True)
    path = data_dir / next(iter(published.packed))
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(DataError, match=f"{path}: .* delete it and run again"):
        prepare(published.name, data_dir)
    assert not server.requests


def test_a_data_folder_that_cannot_be_made_is_bad_input(published: Published, tmp_path: Path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(DataError, match=r"cannot be written \(.*\); choose another folder with --data-dir"):
        prepare(published.name, tmp_path / "file" / "data")


def test_a_file_that_cannot_be_read_is_named(published: Published, data_dir: Path):
    path = data_dir / next(iter(published.files))
    path.mkdir(parents=True)
    with pytest.raises(DataError, match=rf"cannot read {path} \(Is a directory\)"):
        prepare(published.name, data_dir)


def test_an_archive_that_lacks_a_file_is_not_complete(tmp_path: Path):
    files = Files("half", {"there": "d41d8cd98f00b204e9800998ecf8427e", "missing": "0" * 32}, _fetch_half)
    with pytest.raises(DataError, match=r"cannot download half .* missing was not in the download"):
        files.contents(tmp_path / "data")


def _fetch_half(data_dir: Path, folder: Path) -> None:
    (folder / "there").write_bytes(b"")


def test_four_processes_download_once(published: Published, data_dir: Path, server: Server):
    prepare(published.name, data_dir / "alone")
    once = dict(server.requests)
    server.requests.clear()
    # Forked, because the made-up data set exists in this process only.
    processes = [
        multiprocessing.get_context("fork").Process(target=prepare, args=(published.name, data_dir / "all"))
        for _ in range(4)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0] * 4
    assert server.requests == once
    assert _below(data_dir / "all") == set(published.files)
