"""Small stand-ins for the data sets that would have to be downloaded, and a server to download them from."""

from __future__ import annotations

import gzip
import hashlib
import io
import pickle
import sys
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))  # for fake_data, whatever pytest's import mode

from fake_data import Published, Server, write_images

from memory_study.config import TrialConfig
from memory_study.datasets import Splits, _find, cifar10, load, location, mnist

TRAIN, TEST, HELD_OUT = 60, 20, 10


@pytest.fixture(autouse=True)
def _alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test sees another one's cache, nor a proxy."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.setenv(name, "127.0.0.1")
    _find._load.cache_clear()


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    yield server
    server.http.shutdown()
    server.http.server_close()


def _md5(content: bytes) -> str:
    return hashlib.md5(content).hexdigest()


@pytest.fixture
def fake_mnist(server: Server, monkeypatch: pytest.MonkeyPatch) -> Published:
    import torchvision

    def idx(array: np.ndarray) -> bytes:
        return bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes() + array.tobytes()

    rng = np.random.default_rng(0)
    files = {}
    for path in mnist.MD5:
        count = TRAIN if "train" in path else TEST
        images = rng.integers(0, 256, (count, 28, 28), np.uint8)
        files[path] = idx(images if "images" in path else (np.arange(count) % 10).astype(np.uint8))
    packed = {f"{path}.gz": gzip.compress(content) for path, content in files.items()}
    names = {Path(path).name: content for path, content in packed.items()}
    server.files |= {f"/{name}": content for name, content in names.items()}
    monkeypatch.setattr(torchvision.datasets.MNIST, "mirrors", [server.url])
    monkeypatch.setattr(torchvision.datasets.MNIST, "resources", [(n, _md5(c)) for n, c in names.items()])
    sums = {path: _md5(content) for path, content in files.items()}
    fake = mnist.Mnist(replace(mnist.DATASET.files, md5=sums), TRAIN, TEST, HELD_OUT)
    monkeypatch.setattr(mnist, "DATASET", fake)
    return Published("mnist", files, "/t10k-images-idx3-ubyte.gz", packed)


@pytest.fixture
def fake_cifar10(server: Server, monkeypatch: pytest.MonkeyPatch) -> Published:
    from torchvision.datasets import CIFAR10

    rng = np.random.default_rng(0)
    files = {}
    for path in [*cifar10.TRAIN, *cifar10.TEST]:
        count = TEST if path in cifar10.TEST else TRAIN // len(cifar10.TRAIN)
        images = rng.integers(0, 256, (count, 3072), np.uint8)
        files[path] = pickle.dumps({"data": images, "labels": [index % 10 for index in range(count)]})
    files |= {path: pickle.dumps({"label_names": list(cifar10.CLASSES)}) for path in cifar10.META}
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for path, content in files.items():
            member = tarfile.TarInfo(path)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    archive = buffer.getvalue()
    sums = {path: _md5(content) for path, content in files.items()}
    server.files["/cifar-10-python.tar.gz"] = archive
    monkeypatch.setattr(CIFAR10, "url", f"{server.url}cifar-10-python.tar.gz")
    monkeypatch.setattr(CIFAR10, "tgz_md5", _md5(archive))
    for attribute, paths in (("train_list", cifar10.TRAIN), ("test_list", cifar10.TEST)):
        monkeypatch.setattr(CIFAR10, attribute, [[Path(path).name, sums[path]] for path in paths])
    meta = CIFAR10.meta | {"md5": sums["cifar-10-batches-py/batches.meta"]}
    monkeypatch.setattr(CIFAR10, "meta", meta)
    fake = cifar10.Cifar10(replace(cifar10.DATASET.files, md5=sums), TRAIN, TEST, HELD_OUT)
    monkeypatch.setattr(cifar10, "DATASET", fake)
    packed = {"cifar-10-python.tar.gz": archive}
    return Published("cifar10", files, "/cifar-10-python.tar.gz", packed)


@pytest.fixture(params=["fake_mnist", "fake_cifar10"])
def published(request: pytest.FixtureRequest) -> Published:
    """Each data set that is downloaded."""
    found: Published = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_images(tmp_path / "pets")


@pytest.fixture
def offline(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[str], tuple[str, Path]]:
    """Puts a data set in place by its name: returns what the user writes, and the data folder."""

    def put(name: str) -> tuple[str, Path]:
        if name == "folder":
            return f"folder:{request.getfixturevalue('folder')}", tmp_path
        if name != "digits":
            request.getfixturevalue(f"fake_{name}").put(tmp_path / "data")
        return name, tmp_path / "data"

    return put


@pytest.fixture
def loaded() -> Callable[..., Splits]:
    """Loads what a trial of this data set and these config fields would."""

    def load_it(dataset: str, data_dir: Path, train_size: int = 8, **fields: object) -> Splits:
        config = TrialConfig(dataset=dataset, train_size=train_size, **fields)  # type: ignore[arg-type]
        return load(config, location(dataset, data_dir))

    return load_it
