"""Ray nodes of a test's own, each a process that `ray start --block` would be, on loopback and ended by their pids."""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import shutil
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
            # A node that is silent is lost after 5 seconds instead of a minute.
            "RAY_health_check_initial_delay_ms": "1000",
            "RAY_health_check_period_ms": "1000",
            "RAY_health_check_timeout_ms": "2000",
            "RAY_health_check_failure_threshold": "3",
        }
        self._processes: list[subprocess.Popen[bytes]] = []
        self._start([*self.head_arguments(), f"--num-cpus={head_cpus}"], {})

    def head_arguments(self) -> list[str]:
        """What makes a node the head."""
        return ["--head", f"--port={self.address.rpartition(':')[2]}", "--include-dashboard=false"]

    def add(self, cpus: int = 1, **variables: str) -> subprocess.Popen[bytes]:
        """One more worker node, which has these environment variables."""
        return self._start([f"--address={self.address}", f"--num-cpus={cpus}"], variables)

    def kill(self, node: subprocess.Popen[bytes]) -> None:
        """End a node and all that runs on it at once, as if its machine had lost power."""
        signal_all(node, signal.SIGKILL)
        node.wait()

    def freeze(self, node: subprocess.Popen[bytes]) -> None:
        """Stop a node and all that runs on it, as if its network were cut; SIGCONT lets it go on."""
        signal_all(node, signal.SIGSTOP)

    def thaw(self, node: subprocess.Popen[bytes]) -> None:
        """Let a frozen node go on."""
        signal_all(node, signal.SIGCONT)

    def kill_all(self) -> None:
        """End the head and every node at once, as in a power cut."""
        for node in self._processes:
            signal_all(node, signal.SIGKILL)
        self.end()

    def end(self) -> None:
        """End all nodes, and whatever still runs out of their folder."""
        for process in self._processes:
            process.send_signal(signal.SIGTERM)
        for process in self._processes:
            try:
                process.wait(timeout=60)
            except subprocess.TimeoutExpired:
                process.kill()
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit() and int(entry.name) != os.getpid() and self._is_ours(entry):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(int(entry.name), signal.SIGKILL)
        shutil.rmtree(
            self.folder, ignore_errors=True
        )  # a process that has just been killed may still write there

    def _start(self, arguments: list[str], variables: dict[str, str]) -> subprocess.Popen[bytes]:
        """Returns once it is up: nodes of one machine that start at the same time may take each other's ports.

        Those of tests that run beside this one wait, too.
        """
        with Path(tempfile.gettempdir(), "memory-study-tests-start.lock").open("w") as turn:
            fcntl.flock(turn, fcntl.LOCK_EX)
            return self._start_alone(arguments, variables)

    def _start_alone(self, arguments: list[str], variables: dict[str, str]) -> subprocess.Popen[bytes]:
        # Drivers print nothing of the nodes' logs.
        common = [
            "--block",
            "--node-ip-address=127.0.0.1",
            "--object-store-memory=100000000",
            "--include-log-monitor=false",
        ]
        path = self.folder / f"node{len(self._processes)}.log"
        with path.open("w") as log:
            process = subprocess.Popen(
                [sys.executable, "-c", START, "start", *common, *arguments],
                env=self.environment | variables,
                cwd=self.folder,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._processes.append(process)
        deadline = time.monotonic() + 120
        while "Ray runtime started" not in path.read_text():
            assert process.poll() is None, path.read_text()
            assert time.monotonic() < deadline, path.read_text()
            time.sleep(0.1)
        return process

    def _is_ours(self, entry: Path) -> bool:
        try:
            return str(self.folder).encode() in (entry / "cmdline").read_bytes()
        except OSError:  # it has ended by itself
            return False


def signal_all(process: subprocess.Popen[bytes], number: int) -> None:
    """Send a signal to a process and to all that it, or they, have started; to those first."""
    for pid in reversed(tree(process.pid)):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def tree(pid: int) -> list[int]:
    """A process and its descendants."""
    found = [pid]
    with contextlib.suppress(OSError):
        for children in Path(f"/proc/{pid}/task").glob("*/children"):
            for child in children.read_text().split():
                found += tree(int(child))
    return found
