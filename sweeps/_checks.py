"""What can be known to be wrong before anything is read or started. Every check yields lines for a person."""

from __future__ import annotations

import importlib.util
import os
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from memory_study.config import TrialConfig
from memory_study.cost import replica_cost
from memory_study.datasets import DatasetInfo
from sweeps._checkpoints import Folder
from sweeps._isolate import one_line
from sweeps._ledger import sqlite_path
from sweeps._options import GPUS, WHERE, Settings

CONNECT_SECONDS = 3.0

LEAST_FREE_BYTES = 64 * 2**20
BYTES_PER_TRIAL = 100 * 2**10
"""Room that a trial takes in a SQLite store: measured 60 KiB at 250 points."""

LONGEST_EXPERIMENT = 500
"""Characters of an experiment's name, in MLflow's database."""

DATABASES = {"postgresql": "psycopg2", "mysql": "pymysql", "mssql": "pyodbc"}
"""Schemes of databases that MLflow can use, and the driver that each needs."""


def settings_problems(settings: Settings) -> Iterator[str]:
    """Flags that contradict each other, unusable folders, stores and clusters that do not answer."""
    if settings.address and (settings.cpus or settings.gpus is not None) and settings.address != "inline":
        yield f"--cpus and --gpus size a Ray that is started here, not {settings.address}; leave them out"
    if settings.device == "cpu" and settings.gpus:
        yield f"--gpus {settings.gpus} contradicts --device cpu; leave one out"
    if not settings.experiment.strip():
        yield "--experiment is empty; name one, or leave the flag out"
    texts = (
        ("--experiment", settings.experiment),
        ("--tracking-uri", settings.tracking_uri),
        ("--log-dir", str(settings.log_dir.absolute())),
        ("--data-dir", str(settings.data_dir.absolute())),
        ("--checkpoint-dir", settings.checkpoint_dir),
    )
    for flag, text in texts:
        if any("\ud800" <= letter <= "\udfff" for letter in text):
            yield f"{flag} {text!a} is not valid UTF-8; write it with other letters"
    if len(settings.experiment) > LONGEST_EXPERIMENT:
        yield (
            f"--experiment has {len(settings.experiment)} characters; MLflow takes {LONGEST_EXPERIMENT}, "
            "choose a shorter name"
        )
    if settings.price_per_hour is not None and not settings.dry_run:
        yield "--price-per-hour only changes what --dry-run prints; add --dry-run"
    for name, value, allowed in (("DEVICE", settings.device, WHERE), ("GPU", settings.gpu, ("", *GPUS))):
        if value not in allowed:  # a flag's value has been looked at
            yield f"$MEMORY_STUDY_{name} {value!r} is not known; choose from {', '.join(filter(None, allowed))}"
    yield from _folder_problems("--log-dir", settings.log_dir)
    yield from _folder_problems("--data-dir", settings.data_dir)
    yield from _store_problems(settings.tracking_uri)
    yield from _address_problems(settings.address)


def plan_problems(config: TrialConfig, info: DatasetInfo) -> Iterator[str]:
    """What about a trial does not fit its data set."""
    found = list(info.problems(config))
    yield from found
    if not found:
        try:
            replica_cost(config, info.image_shape, len(info.classes))
        except ValueError as error:
            yield str(error)


def room_problems(trials: int, uri: str, log_dir: Path) -> Iterator[str]:
    """Disks too full for the store and the log of so many trials."""
    if not trials:
        return
    file = sqlite_path(uri)
    folders = {log_dir: LEAST_FREE_BYTES}
    if file is not None:
        folders[file.parent] = LEAST_FREE_BYTES + trials * BYTES_PER_TRIAL
    for folder, need in folders.items():
        free = shutil.disk_usage(_existing(folder)).free
        if free < need:
            yield (
                f"only {free / 2**20:.0f} MiB are free at {folder.absolute()}, and {trials} trials need "
                f"about {need / 2**20:.0f}; free some, or point --tracking-uri and --log-dir elsewhere"
            )


def checkpoint_problems(folder: Folder | None) -> Iterator[str]:
    """Why no checkpoint can be written there."""
    if folder is None:
        return
    try:
        folder.check()
    except Exception as error:  # noqa: BLE001 - each kind of file system has errors of its own
        yield (
            f"--checkpoint-dir {folder.path} cannot be written to ({one_line(error)}); name another place, or keep "
            "no checkpoints with --checkpoint-seconds 0"
        )


def _folder_problems(flag: str, folder: Path) -> Iterator[str]:
    existing = _existing(folder)
    if not existing.is_dir():
        yield f"{flag} {folder} is not a folder ({existing} is a file); name another"
    elif not os.access(existing, os.W_OK | os.X_OK):
        yield f"{flag} {folder} cannot be written to; name another folder, or change its permissions"


def _existing(path: Path) -> Path:
    path = path.absolute()
    while not path.exists():
        path = path.parent
    return path


def _store_problems(uri: str) -> Iterator[str]:
    scheme, separator, rest = uri.partition("://")
    database = scheme.partition("+")[0]
    file = sqlite_path(uri)
    if file is not None:
        yield from _file_problems(uri, file)
    elif scheme in ("http", "https"):
        yield from _server_problems(uri)
    elif separator and database in DATABASES and rest:
        driver = scheme.partition("+")[2] or DATABASES[database]
        if importlib.util.find_spec(driver) is None:
            yield f"--tracking-uri {database}://... needs a driver; install it with: pip install {driver}"
    else:
        rule = (
            "MLflow keeps no results in plain folders any more"
            if not separator or scheme == "file"
            else "unknown"
        )
        yield f"--tracking-uri {uri!r}: {rule}; use sqlite:///mlflow.db, a database, or a server as http://HOST:5000"


def _file_problems(uri: str, file: Path) -> Iterator[str]:
    if not file.name or file.is_dir():
        yield f"--tracking-uri {uri} names no file; use sqlite:///mlflow.db or sqlite:////absolute/path/mlflow.db"
        return
    if marks := {"%", "?"} & set(str(file.absolute())):
        yield (
            f"--tracking-uri {uri}: MLflow finds no database at {file.absolute()}, for the {' and '.join(sorted(marks))} "
            "in it; name another place, such as sqlite:////absolute/path/mlflow.db"
        )
        return
    yield from _folder_problems("--tracking-uri folder", file.parent)
    if file.exists() and not os.access(file, os.R_OK | os.W_OK):
        yield f"--tracking-uri {uri} cannot be written to; change the file's permissions, or name another"
    if file.exists() and file.stat().st_size and file.open("rb").read(15) != b"SQLite format 3":
        yield f"--tracking-uri {uri} is not a SQLite database; name another file, or a new one"


def _server_problems(uri: str) -> Iterator[str]:
    try:
        parts = urlsplit(uri)
        host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError:
        host, port = "", 0
    if not host:
        yield f"--tracking-uri {uri!r} names no host; write it as http://HOST:5000"
    elif (reason := _unreachable(host, port)) is not None:
        yield (
            f"--tracking-uri {parts.scheme}://{host}:{port} does not answer ({reason}); "
            f"start one with `mlflow server --port {port}`, or use sqlite:///mlflow.db"
        )


def _address_problems(address: str) -> Iterator[str]:
    if address in ("", "inline"):
        return
    if address.startswith("ray://"):
        yield f"--address {address}: Ray Tune needs no Ray client; use `ray job submit`, and --address auto"
        return
    # Ray waits for minutes for an address that does not answer as it should, so it is only given one that
    # does.
    target = _current_cluster() if address == "auto" else address
    host, colon, port = target.rpartition(":")
    if address != "auto" and not (colon and host and port.isdigit() and 0 < int(port) < 65536):
        yield f"--address {address!r} is no address; use auto, inline, or HOST:PORT, such as 10.0.0.1:6379"
    elif target and (reason := _unreachable(host, int(port)) or _not_grpc(host, int(port))) is not None:
        found = f" ({target})" if address == "auto" else ""
        yield f"--address {address}{found}: no Ray answers ({reason}); start one with `ray start --head`"


def _current_cluster() -> str:
    """The address that ``auto`` stands for, as far as it is written down; "" where Ray would have to look
    around.
    """
    folder = Path(os.environ.get("RAY_TMPDIR") or "/tmp") / "ray"
    written = folder / "ray_current_cluster"
    named = os.environ.get("RAY_ADDRESS") or (written.read_text() if written.is_file() else "")
    return named.strip() if named.strip().rpartition(":")[2].isdigit() else ""


def _not_grpc(host: str, port: int) -> str | None:
    """None for a server that greets an HTTP/2 client with its settings, as Ray's does."""
    if os.environ.get("RAY_USE_TLS", "0") != "0":
        return None
    empty_settings = b"\x00\x00\x00\x04\x00\x00\x00\x00\x00"
    try:
        with socket.create_connection((host, port), timeout=CONNECT_SECONDS) as connection:
            connection.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + empty_settings)
            frame = connection.recv(9)
    except OSError as error:
        return error.strerror or str(error)
    return None if len(frame) >= 4 and frame[3] == 4 else "something else listens there"


def _unreachable(host: str, port: int) -> str | None:
    try:
        socket.create_connection((host, port), timeout=CONNECT_SECONDS).close()
    except OSError as error:
        return error.strerror or str(error) or type(error).__name__
    return None
