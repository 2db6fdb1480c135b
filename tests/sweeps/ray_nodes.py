"""Ray nodes of a test's own, each a process that `ray start --block` would be, on loopback and ended by their pids."""

from __future__ import annotations

import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

START = "from ray.scripts.scripts import main; main()"


class Nodes:
    """A head and its workers. ``environment`` is what a driver needs to join them."""

    def __init__(self, head_cpus: int = 0) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="rn_", dir="/tmp"))  # short: sockets have short names
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.address = f"127.0.0.1:{free.getsockname()[1]}"
        self.environment = {
            **os.environ,
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": secrets.token_hex(32),
            "RAY_TMPDIR": str(self.folder),
            "RAY_USAGE_STATS_ENABLED": "0",
        }
        port = self.address.rpartition(":")[2]
        head = ["--head", f"--port={port}", "--include-dashboard=false", f"--num-cpus={head_cpus}"]
        self._processes = [self._start(head, {})]
        self._wait()

    def add(self, cpus: int = 1, **variables: str) -> subprocess.Popen[bytes]:
        """One more worker node, which has these environment variables."""
        process = self._start([f"--address={self.address}", f"--num-cpus={cpus}"], variables)
        self._processes.append(process)
        return process

    def end(self) -> None:
        """End all nodes, and whatever still runs out of their folder."""
        for process in self._processes:
            process.send_signal(signal.SIGTERM)
        for process in self._processes:
            process.wait(timeout=60)
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit() and int(entry.name) != os.getpid() and self._is_ours(entry):
                os.kill(int(entry.name), signal.SIGKILL)

    def _start(self, arguments: list[str], variables: dict[str, str]) -> subprocess.Popen[bytes]:
        common = ["--block", "--node-ip-address=127.0.0.1", "--object-store-memory=100000000"]
        with (self.folder / "log").open("a") as log:
            return subprocess.Popen(
                [sys.executable, "-c", START, "start", *common, *arguments],
                env=self.environment | variables,
                cwd=self.folder,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def _wait(self) -> None:
        deadline = time.monotonic() + 120
        host, _, port = self.address.partition(":")
        while time.monotonic() < deadline:
            with socket.socket() as probe:
                if probe.connect_ex((host, int(port))) == 0:
                    return
            time.sleep(0.2)
        raise AssertionError((self.folder / "log").read_text())

    def _is_ours(self, entry: Path) -> bool:
        try:
            return str(self.folder).encode() in (entry / "cmdline").read_bytes()
        except OSError:  # it has ended by itself
            return False
