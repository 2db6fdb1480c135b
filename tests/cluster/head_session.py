"""A head of a cluster on this machine, started by the very scripts and commands, from start to restore.

Run by test_services.py in namespaces of its own, as a user who is not root: ``head_session.py FOLDER`` writes
``FOLDER/report.json``, what was seen at each step. Nothing is judged here.
"""

from __future__ import annotations

import contextlib
import http.server
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
CLUSTER = ROOT / "cluster"
FOLDER, ADDRESS = Path(sys.argv[1]), sys.argv[2]
LAUNCHER = yaml.safe_load((CLUSTER / "aws.yaml").read_text())
DASHBOARD, MLFLOW = "http://127.0.0.1:8265", "http://127.0.0.1:5000"
SWEEP = "python -m sweeps.regularization --address auto --device cpu --scale smoke --limit 3"
SWEEP += f" --log-dir {FOLDER}/logs"


class Report(dict[str, Any]):
    """On disk after each step, so that a session that broke off can be read, too."""

    def __setitem__(self, step: str, seen: Any) -> None:
        super().__setitem__(step, seen)
        (FOLDER / "report.json").write_text(json.dumps(self, indent=1))


def run(command: str, timeout: float = 240, **environment: str) -> dict[str, Any]:
    """A shell command's exit code, output and seconds."""
    began = time.monotonic()
    done = subprocess.run(
        ["bash", "-c", command], cwd=ROOT, env=os.environ | environment, capture_output=True, text=True,
        timeout=timeout, check=False,
    )  # fmt: skip
    said = done.stdout + done.stderr
    return {"code": done.returncode, "said": said[-4000:], "seconds": time.monotonic() - began}


def services(verb: str) -> dict[str, Any]:
    return run(f"{CLUSTER}/services.sh {verb}")


def ray_start(role: str, *changes: tuple[str, str], more: str = "") -> dict[str, Any]:
    """The launcher's own command, but for what one machine cannot have twice.

    A worker has a folder of its own: where two nodes share one, the second unpacks a job's code over the first's.
    """
    (command,) = [each for each in LAUNCHER[f"{role}_start_ray_commands"] if each.startswith("ray start")]
    for pattern, replacement in changes:
        command, count = re.subn(pattern, replacement, command)
        assert count == 1, f"{pattern} in {command}"
    return run(f"{command} {more} --object-store-memory=100000000", RAY_HEAD_IP=ADDRESS)


def listeners() -> list[dict[str, Any]]:
    """Every TCP port that is open in this network namespace, with its address and whose it is."""
    owners = {}
    for link in Path("/proc").glob("[0-9]*/fd/*"):
        with contextlib.suppress(OSError):
            target = os.readlink(link)
            if target.startswith("socket:"):
                owners[target[8:-1]] = (link.parents[1] / "cmdline").read_text().replace("\0", " ")[:300]
    found = []
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A":
                address, port = fields[1].split(":")
                found.append(
                    {
                        "address": address,
                        "loopback": address in LOOPBACK,
                        "port": int(port, 16),
                        "owner": owners.get(fields[9], "?"),
                    }
                )
    return found


LOOPBACK = ("0100007F", "00000000000000000000000001000000", "0000000000000000FFFF00000100007F")


def status(url: str, token: str = "") -> int:
    """What a server says of a GET: 0 where there is none."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=30) as reply:
            return int(reply.status)
    except urllib.error.HTTPError as error:
        return error.code
    except urllib.error.URLError:
        return 0


def finished() -> int:
    """Finished runs, as MLflow's server tells them."""
    body = json.dumps({"experiment_ids": ["1"], "filter": "attributes.status = 'FINISHED'"}).encode()
    url = f"{MLFLOW}/api/2.0/mlflow/runs/search"
    asked = urllib.request.Request(url, data=body, headers={"Content-Type": "application/json"})
    with urllib.request.urlopen(asked, timeout=30) as reply:
        return len(json.load(reply).get("runs", ()))


def artifact_location() -> str:
    with urllib.request.urlopen(
        f"{MLFLOW}/api/2.0/mlflow/experiments/get?experiment_id=1", timeout=30
    ) as reply:
        return str(json.load(reply)["experiment"]["artifact_location"])


def leaks(secrets: dict[str, str], kept: set[Path]) -> list[str]:
    """Files and command lines, other than the secrets' own files, in which a secret stands."""
    places = [path for top in (FOLDER, Path(os.environ["RAY_TMPDIR"])) for path in top.rglob("*")]
    files = [
        path for path in places if path.is_file() and path not in kept and "postgresql/" not in str(path)
    ]
    found = []
    for path in [*files, *Path("/proc").glob("[0-9]*/cmdline")]:
        with contextlib.suppress(OSError):
            content = path.read_bytes()
            found += [f"{name} in {path}" for name, secret in secrets.items() if secret.encode() in content]
    return found


@contextlib.contextmanager
def a_cloud_that_gives_notice() -> Any:
    """EC2's metadata service at the moment when it takes the machine back."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def _answer(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b'{"action": "terminate"}')

        do_GET = do_PUT = _answer  # noqa: N815

        def log_message(self, *words: object) -> None: ...

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


NODES = """
import ray
ray.init('auto', log_to_driver=False, logging_level='error')
for node in ray.nodes():
    print('alive' if node['Alive'] else 'gone', node.get('DeathReason'), node.get('DeathReasonMessage'))
"""


def main() -> None:
    """Each step's name and what it gave, in order."""
    token_file, password_file = Path(os.environ["RAY_AUTH_TOKEN_PATH"]), Path(os.environ["PGPASSFILE"])
    report = Report()
    report["start"] = services("start")
    report["modes"] = {path.name: oct(path.stat().st_mode & 0o777) for path in (token_file, password_file)}
    first = token_file.read_text(), password_file.read_text()
    report["start again"] = services("start")
    report["secrets kept"] = first == (token_file.read_text(), password_file.read_text())
    report["local head"] = run(
        "ray start --head --num-cpus=1 --object-store-memory=100000000", RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER="0"
    )
    report["local listeners"] = [each for each in listeners() if each["port"] not in (5000, 5432)]
    report["local end"] = run("ray stop")
    report["head"] = ray_start("head", (r"--autoscaling-config=\S+ ?", ""))
    report["worker"] = ray_start(
        "worker", ("--object-manager-port=8076", ""), more=f"--num-cpus=2 --temp-dir={FOLDER}/w"
    )
    report["listeners"] = listeners()
    token, password = token_file.read_text(), password_file.read_text().strip().rpartition(":")[2]
    report["dashboard"] = {name: status(f"{DASHBOARD}/api/jobs/", given) for name, given in
                           {"no token": "", "wrong token": "0" * 64, "token": token}.items()}  # fmt: skip
    probes = (f"{DASHBOARD}/api/gcs_healthz", "http://127.0.0.1:52365/api/local_raylet_healthz")
    report["probes"] = [status(url) for url in probes]
    report["open"] = {url: status(f"http://{ADDRESS}:{url}") for url in PLACES}
    strangers = ThreadPoolExecutor()  # refused only after half a minute of trying again
    disabled = {"RAY_AUTH_MODE": "disabled", "RAY_AUTH_TOKEN_PATH": ""}
    client = strangers.submit(run, f"python -c {shlex.quote(CLIENT)}", **disabled)
    joining = strangers.submit(run, f"ray start --address={ADDRESS}:6379 --num-cpus=1", **disabled)
    report["database without the password"] = run(
        f"python -c {shlex.quote(CONNECT)}", PGPASSFILE="/nowhere", HOME="/nowhere"
    )
    report["submit"] = run(
        f"ray job submit --address {DASHBOARD} --submission-id one --working-dir {FOLDER}/project -- {SWEEP}"
    )
    report["client without the token"], report["joining without the token"] = (
        client.result(),
        joining.result(),
    )
    report["finished"] = finished()
    report["artifacts"] = artifact_location()
    report["leaks"] = leaks({"token": token, "password": password}, {token_file, password_file})
    with a_cloud_that_gives_notice() as url:
        report["spot"] = run(f"{CLUSTER}/spot.sh watch aws", METADATA_URL=url)
    report["nodes"] = run(f"python -c {shlex.quote(NODES)}")
    report["stop"] = services("stop")
    report["after stop"] = [each for each in listeners() if each["port"] in (5000, 5432)]
    store = Path(os.environ["MEMORY_STUDY_STORE"])
    report["wiped"] = run(f"rm -r {store}/postgresql {store}/backup {password_file}")
    report["start elsewhere"] = services("start")
    report["finished elsewhere"] = finished()
    go_back(report)
    cut_the_power(report, store)
    report["start where the backup cannot be read"] = run(
        f"{CLUSTER}/services.sh start", MEMORY_STUDY_STORE=f"{FOLDER}/other", PGPASSFILE=f"{FOLDER}/other/pgpass",
        POSTGRES_PORT="5433", MLFLOW_PORT="5001", MEMORY_STUDY_BACKUP="nowhere://bucket",
    )  # fmt: skip


def go_back(report: Report) -> None:
    """Damage the database, and restore what it was."""
    bucket = Path(os.environ["MEMORY_STUDY_BACKUP"].removeprefix("file://"))
    (bucket / "memory_study-2001-02-03T04Z.dump").write_text("an hour long ago")
    report["backups"] = services("backups")
    report["damage"] = run(f"python -c {shlex.quote(CONNECT + DAMAGE)}")
    report["finished, damaged"] = finished()
    report["restore nothing"] = services("restore memory_study-1999-02-03T04Z.dump")
    report["restore"] = services(f"restore {report['backups']['said'].split()[-1]}")
    report["finished, restored"] = finished()
    report["put aside"] = [path.name for path in Path(os.environ["MEMORY_STUDY_STORE"]).glob("postgresql-*")]


def cut_the_power(report: Report, store: Path) -> None:
    """Kill all services; in the next boot a stranger has the number that each of them had."""
    stranger = subprocess.Popen(["sleep", "600"])
    files = [*FOLDER.glob("memory-study-*/*"), store / "postgresql" / "postmaster.pid"]
    report["files that name a stranger"] = [str(file) for file in files]
    for file in files:
        pid = int(file.read_text().split()[0])
        # PostgreSQL's processes end with their first one.
        (os.kill if file.name == "postmaster.pid" else os.killpg)(pid, signal.SIGKILL)
    while [each for each in listeners() if each["port"] in (5000, 5432)]:
        time.sleep(0.1)
    for file in files:
        _, separator, rest = re.split(r"(\s)", file.read_text(), maxsplit=1)
        file.write_text(f"{stranger.pid}{separator}{rest}")
    report["start after a power cut"] = services("start")
    report["finished after a power cut"] = finished()
    report["stop after a power cut"] = services("stop")
    report["the stranger lives"] = stranger.poll() is None
    stranger.kill()


PLACES = ("52365/api/job_agent/jobs/", "52365/api/healthz", "44227/metrics", "44217/metrics")
"""What Ray answers over HTTP on a head's own address: the agent's, the dashboard's and the autoscaler's figures."""

CLIENT = f"import ray; ray.init('ray://{ADDRESS}:10001'); print(ray.cluster_resources())"
CONNECT = "import psycopg2; psycopg2.connect(host='127.0.0.1', user='memory_study', dbname='memory_study')"
DAMAGE = ".cursor().execute('TRUNCATE runs CASCADE; COMMIT')"

if __name__ == "__main__":
    main()
