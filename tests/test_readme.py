"""Every command and every snippet of the README, run as it is printed."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from memory_study import record, regularizers
from memory_study.rng import EpochDraws, ReplicaDraws

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"```console\n(.*?)```", README, re.DOTALL)
COMMANDS = [line.removeprefix("$ ") for block in BLOCKS for line in block.splitlines()]
MNIST = ROOT.parent / "shared" / "data" / "MNIST" / "raw"
PHOTOS = re.findall(r"--dataset folder:(\S+)", README)
SPECIAL = ("make ", "source ", "mlflow ui", "ray ", "python -m sweeps.regularization --address")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working folder with the images that the README tells its reader to have, and MNIST where this machine has it."""
    from PIL import Image

    here = tmp_path_factory.mktemp("readme")
    for split, images in (("train", 40), ("test", 5)):
        for label in range(10):
            target = here / PHOTOS[0] / split / f"class{label}"
            target.mkdir(parents=True)
            for index in range(images):
                Image.frombytes("RGB", (32, 32), os.urandom(32 * 32 * 3)).save(target / f"{index}.png")
    if MNIST.exists():
        shutil.copytree(MNIST, here / "data" / "MNIST" / "raw")
    return here


def environment(folder: Path) -> dict[str, str]:
    """What an activated environment gives, with caches of its own."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, "PATH": path, "XDG_CACHE_HOME": str(folder / "cache"), "MLFLOW_TRACKING_URI": ""}


def run(command: str, folder: Path, timeout: float = 300, **more: str) -> str:
    done = subprocess.run(
        command, shell=True, cwd=folder, env=environment(folder) | more, capture_output=True, text=True,
        timeout=timeout, check=False,
    )  # fmt: skip
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def test_the_readme_has_commands_and_each_is_run_by_a_test_here() -> None:
    assert len(COMMANDS) > 10
    assert all(block.startswith("$ ") for block in BLOCKS)
    ordinary = [command for command in COMMANDS if not command.startswith(SPECIAL)]
    assert all(command.startswith("python -m ") for command in ordinary)


def test_the_readme_says_that_its_folder_of_images_is_the_readers_own() -> None:
    (photos,) = set(PHOTOS)
    before, _, _ = README.partition(f"--dataset folder:{photos}")
    said = " ".join(before.splitlines()[-7:])
    assert f"your own folder of images, in the second command `{photos}`, which you make" in said
    assert all(f"`{split}/<class>/`" in said for split in ("train", "test"))


def test_the_readme_names_every_folder_whose_files_are_found_by_name() -> None:
    (table,) = re.findall(r"\| to add \|.*?\n\n", README, re.DOTALL)
    rooms = set(re.findall(r"`([a-z_/]+)/<\w+>\.py`", table))
    found = {file.parent for room in ("memory_study", "analysis") for file in (ROOT / room).glob("*/_*.py")}
    looks = re.compile(r"iter_modules\(|_found\.names\(")
    finders = {
        folder for folder in found if any(looks.search(file.read_text()) for file in folder.glob("_*.py"))
    }
    assert rooms == {str(folder.relative_to(ROOT)) for folder in finders} | {"sweeps"}


def test_the_files_that_the_readme_says_to_add_to_are_there() -> None:
    (table,) = re.findall(r"\| to add \|.*?\n\n", README, re.DOTALL)
    named = set(re.findall(r"`([\w/]+\.py)`", table))
    assert named == {"memory_study/record.py", "tests/analysis/invented_scenes.py"}
    assert all((ROOT / file).is_file() for file in named)
    assert {"SOMETIMES"} <= vars(record).keys() & set(re.findall(r"`(\w+)`", table))


@pytest.fixture
def one_core() -> Iterator[None]:
    """Makes this a machine with one: a sweep then starts one process that trains, and not as many as there are cores."""
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(cores)})
    yield
    os.sched_setaffinity(0, cores)


@pytest.mark.slow
@pytest.mark.usefixtures("one_core")
def test_every_ordinary_command_of_the_readme_succeeds(folder: Path) -> None:
    for command in COMMANDS:
        if command.startswith(SPECIAL) or ("mnist" in command and not MNIST.exists()):
            continue
        assert run(command, folder)


@pytest.mark.slow
def test_make_demo_trains_draws_and_finds_everything_done_the_second_time(tmp_path: Path) -> None:
    if Path(sys.prefix) != ROOT / ".venv":
        pytest.skip("make demo uses the .venv that make installs; these tests run in another environment")
    store = {"MLFLOW_TRACKING_URI": f"sqlite:///{tmp_path / 'mlflow.db'}"}
    first = subprocess.run(
        ["make", "demo"], cwd=ROOT, env=os.environ | store, capture_output=True, text=True, check=False
    )
    assert first.returncode == 0, first.stdout + first.stderr
    trials = int(re.findall(r"(\d+) trials finished", first.stdout)[0])
    assert trials >= 100
    assert (ROOT / "figures" / "regularization.png").stat().st_size > 10_000
    started = time.monotonic()
    again = subprocess.run(
        ["make", "demo"], cwd=ROOT, env=os.environ | store, capture_output=True, text=True, check=True
    )
    assert f"0 trials finished ({trials} more were finished before)" in again.stdout
    assert time.monotonic() - started < 20


@pytest.mark.slow
def test_the_mlflow_ui_opens_on_the_store(folder: Path) -> None:
    (command,) = [command for command in COMMANDS if command.startswith("mlflow ui")]
    run("python -m sweeps.regularization --scale smoke --address inline --limit 2", folder)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = subprocess.Popen(
        f"exec {command} --port {port}", shell=True, cwd=folder, env=environment(folder), start_new_session=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        assert b"MLflow" in patiently_read(f"http://127.0.0.1:{port}/")
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait(timeout=30)


def patiently_read(url: str, seconds: float = 60) -> bytes:
    end = time.monotonic() + seconds
    while True:
        try:
            with urllib.request.urlopen(url, timeout=5) as reply:
                content: bytes = reply.read()
                return content
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.5)


@pytest.mark.slow
def test_the_cluster_commands_train_on_a_cluster(folder: Path) -> None:
    """In process and network namespaces of their own, because ``ray stop`` ends every Ray on the machine."""
    isolated = ["unshare", "--pid", "--fork", "--mount-proc", "--net"]
    if subprocess.run([*isolated, "true"], capture_output=True, check=False).returncode:
        pytest.skip("this machine lets us make no namespaces, and `ray stop` would end every Ray on it")
    (block,) = [block for block in BLOCKS if "ray start" in block]
    script = "set -e\nip link set lo up\n" + block.replace("$ ", "")
    done = subprocess.run(
        [*isolated, "bash", "-c", script], cwd=folder, env=environment(folder) | {"RAY_TMPDIR": "/tmp/readme-ray"},
        capture_output=True, text=True, timeout=240, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "trials finished" in done.stdout


@pytest.mark.slow
def test_a_saved_model_opens_as_the_readme_says(folder: Path) -> None:
    (snippet,) = [s for s in re.findall(r"```python\n(.*?)```", README, re.DOTALL) if "weights_only" in s]
    run(
        "python -m sweeps.regularization --scale smoke --address inline --limit 1 --save-models --experiment m",
        folder,
    )
    (model, *_) = folder.rglob("model.pt")
    check = "\nassert net(torch.rand(2, *saved['input_size'])).shape == (2, len(saved['classes']))"
    program = snippet + check + "\nimport sys\nassert 'memory_study' not in sys.modules"
    subprocess.run([sys.executable, "-c", program], cwd=model.parent, check=True, timeout=120)


def test_the_regularizer_of_the_readme_does_what_the_one_in_the_code_does() -> None:
    (snippet,) = [s for s in re.findall(r"```python\n(.*?)```", README, re.DOTALL) if "REGULARIZER" in s]
    names: dict[str, Any] = {}
    exec(snippet, names)
    written, found = names["REGULARIZER"], regularizers.find("input_noise")
    assert (written.grid, written.meaning) == (found.grid, found.meaning)
    strengths, noises = torch.tensor([0.5, 2.0]), []
    for regularizer in (written, found):
        draws = ReplicaDraws(EpochDraws(1, torch.device("cpu"), torch.float32), (0, 1))
        noises.append(regularizer.input_noise(strengths, (3, 4), draws))
    assert torch.equal(*noises)
