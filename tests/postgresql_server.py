"""A PostgreSQL server of the tests' own, on the loopback."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import pytest


def binary(name: str) -> str:
    """A program of the server. Debian keeps them off the path."""
    pytest.importorskip("psycopg2", reason="no driver for PostgreSQL: pip install psycopg2-binary")
    places = [shutil.which(name), *map(str, sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}")))]
    found = [place for place in places if place]
    if not found:
        pytest.skip(f"no PostgreSQL server: {name} is not installed")
    return found[-1]


class PostgreSQL:
    """A server in a folder of its own, which is ended by its folder's process id."""

    def __init__(self) -> None:
        """Skips the test where the server is not installed."""
        self._initdb, self._control = binary("initdb"), binary("pg_ctl")
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self._port = probe.getsockname()[1]
        self._folder = tempfile.mkdtemp(prefix="pg-")
        # The server refuses to run as root.
        self._as: dict[str, Any] = {"user": "postgres"} if os.geteuid() == 0 else {}
        if self._as:
            shutil.chown(self._folder, "postgres")
        self._databases = 0
        self._run(self._initdb, "-A", "trust", "-U", "me")
        self.start()

    def start(self) -> None:
        """Returns once it answers."""
        settings = f"-p {self._port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={self._folder}"
        self._run(self._control, "-w", "-l", f"{self._folder}/log", "-o", settings, "start")

    def stop(self, mode: str = "fast") -> None:
        """``immediate`` is as if the machine had failed."""
        self._run(self._control, "-w", "-m", mode, "stop")

    def remove(self) -> None:
        """End it for good."""
        self.stop()
        shutil.rmtree(self._folder)

    def new_database(self) -> str:
        """The URI of an empty one."""
        import psycopg2

        self._databases += 1
        connection = psycopg2.connect(host="127.0.0.1", port=self._port, user="me", dbname="postgres")
        connection.autocommit = True
        connection.cursor().execute(f"CREATE DATABASE test{self._databases}")
        connection.close()
        return f"postgresql+psycopg2://me:secret@127.0.0.1:{self._port}/test{self._databases}"

    def log(self) -> str:
        """What the server had to say."""
        return Path(f"{self._folder}/log").read_text()

    def _run(self, program: str, *arguments: str) -> None:
        command = [program, "-D", f"{self._folder}/data", *arguments]
        null = subprocess.DEVNULL
        subprocess.run(command, check=True, cwd=self._folder, stdout=null, stderr=null, **self._as)
