"""An MLflow server of a test's own."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path


class Server:
    """An MLflow server on this machine that can be stopped and started again."""

    def __init__(self, folder: Path, store: str = "", workers: int = 1) -> None:
        """``store`` is its database: a file in ``folder`` unless it is given."""
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.folder = folder
        self.uri = f"http://127.0.0.1:{self.port}"
        self.store = store or f"sqlite:///{folder}/server.db"
        self.log = folder / "server.log"
        self._workers = str(workers)
        self.start()

    def start(self) -> None:
        """Returns once it answers."""
        command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(self.port)]
        command += ["--workers", self._workers, "--backend-store-uri", self.store]
        command += ["--default-artifact-root", str(self.folder / "artifacts")]
        without_jobs = os.environ | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}  # eight processes less
        with self.log.open("a") as log:
            self.process = subprocess.Popen(
                command, env=without_jobs, stdout=log, stderr=log, start_new_session=True
            )
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError):
                urllib.request.urlopen(f"{self.uri}/health", timeout=5)
                return
            time.sleep(0.2)
        raise AssertionError("the server did not start")

    def stop(self) -> None:
        """As a machine does that fails."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
