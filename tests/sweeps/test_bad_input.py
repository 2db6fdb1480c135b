from __future__ import annotations

import contextlib
import os
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sweeps import _checks, _machine
from sweeps._flags import InputError
from sweeps._options import Settings

ROOT = Path(__file__).parents[2]

BAD = {
    "an unknown flag": (["--witdh", "64"], ["--witdh", "did you mean --width?"]),
    "a flag like no other": (["--zzz"], ["--zzz", "see --help"]),
    "a stray word": (["foo"], ["foo", "--help"]),
    "a word for a number": (["--width", "wide"], ["--width", "'wide'", "whole number", "128"]),
    "a fraction for a whole number": (["--epochs", "1.5"], ["--epochs", "whole number"]),
    "a word for a fraction": (["--momentum", "much"], ["--momentum", "'much'", "0.01"]),
    "a number that is not finite": (["--momentum", "nan"], ["--momentum", "not finite"]),
    "a flag without its value": (["--width"], ["--width", "takes one value"]),
    "a flag with two values": (["--width", "64", "128"], ["--width", "takes one value, not 2"]),
    "a flag given twice": (["--width", "64", "--width", "128"], ["--width", "2 times", "once"]),
    "an unknown scale": (["--scale", "huge"], ["--scale", "'huge'", "smoke, laptop, paper"]),
    "a width of zero": (["--width", "0"], ["--width 0", "1 or more"]),
    "no epochs": (["--epochs", "0"], ["--epochs 0", "1 or more"]),
    "a percentage for a level": (["--corruption-level", "40"], ["40 is not a fraction", "0.4 for 40 %"]),
    "a negative level": (["--corruption-level", "-1"], ["-1 is not a fraction"]),
    "no noise": (["--corruption-level", "0"], ["noise level 0", "0.1 or more"]),
    "a momentum of one": (["--momentum", "1"], ["--momentum 1", "value < 1"]),
    "no step size": (["--learning-rate", "0"], ["--learning-rate 0", "above 0"]),
    "an unknown model": (["--model", "resnet"], ["--model 'resnet'", "cnn-keras"]),
    "an unknown data type": (["--dtype", "float16"], ["--dtype 'float16'", "float32"]),
    "an unknown data set": (["--dataset", "imagenet"], ["imagenet", "mnist"]),
    "a folder that is not there": (["--dataset", "folder:/no/such/folder"], ["/no/such/folder"]),
    "more examples than there are": (["--train-size", "100000"], ["100000", "digits"]),
    "a crop beyond the image": (["--crop", "50"], ["--crop 50", "8x8", "use 8 or less"]),
    "images too small for a net": (["--model", "cnn-keras"], ["too small for cnn-keras", "cnn-zhang"]),
    "an unknown kind": (["--kinds", "dropuot"], ["'dropuot'", "dropout", "weight_decay"]),
    "a kind named twice": (["--kinds", "dropout", "dropout"], ["dropout more than once"]),
    "strengths without a kind": (["--strengths", "0.5"], ["'0.5'", "dropout=0.1,0.5"]),
    "strengths of an unknown kind": (["--strengths", "magic=1"], ["'magic'", "choose from"]),
    "a strength that is no number": (["--strengths", "dropout=a"], ["dropout=a", "'a' is not a number"]),
    "a strength out of range": (["--strengths", "dropout=1.0"], ["dropout strength 1", "< 1"]),
    "a negative strength": (["--strengths", "weight_decay=-1"], ["weight_decay strength -1"]),
    "an empty grid": (["--strengths", "dropout="], ["'dropout='"]),
    "real data as noise": (["--corruptions", "none"], ["'none'", "randX, randY"]),
    "seeds that are no numbers": (["--seeds", "a"], ["--seeds", "'a'"]),
    "a negative seed": (["--seeds", "-1"], ["--seeds", "-1"]),
    "no seeds": (["--seeds"], ["--seeds", "at least one"]),
    "seeds given twice": (["--seeds", "1", "1"], ["--seeds", "1 more than once"]),
    "a limit of zero": (["--limit", "0"], ["--limit", "1 or more"]),
    "a cohort of none": (["--max-cohort", "0"], ["--max-cohort", "1 or more"]),
    "no CPUs": (["--cpus", "0"], ["--cpus", "1 or more"]),
    "CPUs of a cluster": (["--cpus", "2", "--address", "auto"], ["--cpus", "auto", "leave them out"]),
    "GPUs and no GPUs": (["--gpus", "1", "--device", "cpu"], ["--gpus 1", "--device cpu"]),
    "an unknown device": (["--device", "tpu"], ["--device", "auto, cpu, cuda"]),
    "an unknown GPU": (["--gpu", "RTX"], ["--gpu", "H100"]),
    "a negative price": (["--price-per-hour", "-1", "--dry-run"], ["--price-per-hour", "0 or more"]),
    "a price for nothing": (["--price-per-hour", "1"], ["--price-per-hour", "--dry-run"]),
    "an empty experiment": (["--experiment", " "], ["--experiment", "empty"]),
    "an experiment that is no text": (["--experiment", "\udcff"], ["--experiment", "\\udcff", "UTF-8"]),
    "a very long experiment": (["--experiment", "x" * 501], ["501 characters", "500"]),
    "a folder as store": (["--tracking-uri", "./mlruns"], ["./mlruns", "sqlite:///mlflow.db"]),
    "a store in a folder that MLflow cannot name": (
        ["--tracking-uri", "sqlite:////tmp/50%25/mlflow.db"],
        ["/tmp/50%25/mlflow.db", "for the % in it", "sqlite:////absolute/path/mlflow.db"],
    ),
    "a log folder that is no text": (["--log-dir", "/tmp/\udcff"], ["--log-dir", "\\udcff", "UTF-8"]),
    "a file store": (["--tracking-uri", "file:///tmp/x"], ["file:///tmp/x", "sqlite:///mlflow.db"]),
    "an unknown store": (["--tracking-uri", "redis://x"], ["redis://x", "sqlite:///mlflow.db"]),
    "a store without a name": (["--tracking-uri", "sqlite:///"], ["sqlite:///", "names no file"]),
    "a server without a host": (["--tracking-uri", "http://"], ["names no host", "http://HOST:5000"]),
    "a server that is not there": (["--tracking-uri", "http://127.0.0.1:9"], [":9", "mlflow server"]),
    "a database without a driver": (
        ["--tracking-uri", "postgresql+nodriver://u:secret@h/d"],
        ["postgresql", "pip install nodriver"],
    ),
    "an address that is none": (["--address", "everywhere"], ["'everywhere'", "HOST:PORT"]),
    "a port that is none": (["--address", "h:99999"], ["'h:99999'"]),
    "the Ray client": (["--address", "ray://h:10001"], ["ray job submit"]),
    "a cluster that is not there": (["--address", "127.0.0.1:9"], ["127.0.0.1:9", "ray start --head"]),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_bad_input_ends_with_one_helpful_line(
    name: str, run: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    argv, words = BAD[name]
    assert run(*argv, *([] if "--scale" in argv else ["--scale", "smoke"])) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    lines = printed.err.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("error: ")
    for word in words:
        assert word in lines[0]


@pytest.mark.parametrize(
    ("name", "words"), [("DEVICE", ["'tpu'", "auto, cpu, cuda"]), ("GPU", ["'tpu'", "L4", "H100"])]
)
def test_a_bad_default_in_the_environment_is_named(name: str, words: list[str], tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "sweeps.regularization", "--dry-run"],
        cwd=ROOT, env={**os.environ, f"MEMORY_STUDY_{name}": "tpu"}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    for word in (f"$MEMORY_STUDY_{name}", *words):
        assert word in line


def test_a_gpu_that_is_missing_is_told_before_a_store_or_a_log_is_made(
    run: Callable[..., int], here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(_machine, "gpus", list)
    before = set(here.iterdir())
    assert run("--scale", "smoke", "--device", "cuda") == 2
    assert "nvidia-smi lists none; use --device cpu" in capsys.readouterr().err
    assert set(here.iterdir()) == before


def test_a_password_in_a_store_is_not_printed(
    run: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    run("--tracking-uri", "postgresql+nodriver://user:secret@host/base")
    assert "secret" not in capsys.readouterr().err


def test_all_problems_are_told_at_once(run: Callable[..., int], capsys: pytest.CaptureFixture[str]) -> None:
    assert (
        run("--width", "0", "--epochs", "x", "--kinds", "magic", "--tracking-uri", "nowhere", "--frob") == 2
    )
    told = capsys.readouterr().err
    for word in ("--width 0", "--epochs 'x'", "'magic'", "nowhere", "--frob"):
        assert word in told
    assert len(told.splitlines()) == 5


def test_a_log_folder_that_is_a_file_is_refused(
    run: Callable[..., int], here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "file").write_text("")
    assert run("--log-dir", str(here / "file")) == 2
    assert "is not a folder" in capsys.readouterr().err


def test_a_store_that_is_some_other_file_is_refused(
    run: Callable[..., int], here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "notes.txt").write_text("these are notes, not a database")
    assert run("--tracking-uri", f"sqlite:///{here}/notes.txt") == 2
    assert "is not a SQLite database" in capsys.readouterr().err


def test_a_database_that_is_not_mlflows_is_refused(
    run: Callable[..., int], here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with sqlite3.connect(here / "other.db") as connection:
        connection.execute("create table experiments (name text)")
    assert run("--scale", "smoke", "--tracking-uri", f"sqlite:///{here}/other.db") == 2
    told = capsys.readouterr().err
    assert "not an MLflow store" in told
    assert len(told.splitlines()) == 1


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_permission_is_refused(
    run: Callable[..., int], here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "locked").mkdir(mode=0o500)
    assert run("--log-dir", str(here / "locked")) == 2
    assert "permissions" in capsys.readouterr().err


def test_a_disk_without_room_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    full = type("Usage", (), {"free": 10 * 2**20})
    monkeypatch.setattr(_checks.shutil, "disk_usage", lambda folder: full)
    (line,) = set(_checks.room_problems(1000, "http://server:5000", tmp_path))
    assert "only 10 MiB are free" in line
    assert "--log-dir" in line


def test_a_host_that_swallows_packets_is_given_up_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_checks, "CONNECT_SECONDS", 0.2)
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(0)
    port = listener.getsockname()[1]
    fill = [socket.socket() for _ in range(3)]
    for one in fill:  # a full backlog answers nothing
        one.setblocking(False)
        one.connect_ex(("127.0.0.1", port))
    time.sleep(0.05)
    started = time.monotonic()
    settings = Settings(address=f"127.0.0.1:{port}", experiment="x")
    assert any("no Ray answers" in line for line in _checks.settings_problems(settings))
    assert time.monotonic() - started < 5
    for one in (*fill, listener):
        one.close()


@pytest.fixture
def web_server() -> Iterator[int]:
    """The port of a server that answers every connection as a web server would."""
    listener = socket.create_server(("127.0.0.1", 0))
    listener.settimeout(0.05)
    stop = threading.Event()

    def answer() -> None:
        while not stop.is_set():
            with contextlib.suppress(OSError), listener.accept()[0] as connection:
                connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    thread = threading.Thread(target=answer)
    thread.start()
    yield listener.getsockname()[1]
    stop.set()
    thread.join()
    listener.close()


def test_a_server_that_is_no_ray_is_refused_at_once(
    web_server: int, run: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    started = time.monotonic()
    assert run("--scale", "smoke", "--address", f"127.0.0.1:{web_server}") == 2
    assert time.monotonic() - started < 5
    assert "something else listens there" in capsys.readouterr().err


def test_auto_says_which_dead_cluster_it_stands_for(
    run: Callable[..., int], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:9")
    assert run("--scale", "smoke", "--address", "auto") == 2
    assert "--address auto (127.0.0.1:9): no Ray answers" in capsys.readouterr().err


def test_an_input_error_lists_each_problem_once() -> None:
    assert InputError(["a", "b", "a"]).problems == ["a", "b"]
