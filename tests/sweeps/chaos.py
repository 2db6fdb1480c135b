"""What do twenty faults cost a sweep on a cluster: time, and no result?

Run:    python tests/sweeps/chaos.py [--rounds 20] [--seed 0] [--calm 3]
Cost:   13 minutes for 20 rounds and a calm one, beside other tests on two CPU cores (2026-11-22)
Expect: a line for each round; exit code 0: the store has exactly the plan, with an undisturbed sweep's numbers

Two worker nodes train a sweep whose checkpoints lie on a small disk and whose results go to an MLflow server. A round
starts the command for the next few trials and lets one fault happen while they train, at a moment drawn from the seed,
and so is the order of the faults, of which each comes about as often: a process that trains, a node, the driver, the head
with the whole cluster, or the server is killed (a node, the cluster and the server come back), or the disk is filled. The
next round's command goes on with whatever the fault has left. A last one ends the plan. Trials redone are those that
somebody else took up from a checkpoint and ended in that round. Seconds lost are those beyond the median of the calm
rounds, without a fault, that come first; the round of a killed driver ends early, its trials are trained in the next one.
On the nodes an epoch takes some milliseconds longer than it needs, so that a cohort trains for seconds on any machine.
"""

from __future__ import annotations

import argparse
import contextlib
import errno
import json
import os
import random
import signal
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from mlflow_server import Server
from patching import write_slower
from ray_nodes import Nodes, tree

ROOT = Path(__file__).parents[2]
TRIALS_A_ROUND = 4
DISK_BYTES = 8 * 2**20
AWAY_SECONDS = 8.0
SLOWER_SECONDS = 0.04
"""For each of 75 epochs, on the nodes."""
NOT_MEASURED = "and m.key not like '%seconds' and m.key <> 'resumed_epoch'"


@dataclass
class World:
    """What faults happen to."""

    folder: Path
    nodes: Nodes
    workers: list[subprocess.Popen[bytes]]
    server: Server
    driver: subprocess.Popen[str] | None = None

    @property
    def kept(self) -> Path:
        """The disk of the checkpoints."""
        return self.folder / "kept"

    @property
    def slower(self) -> Path:
        """What makes training on the nodes take longer."""
        return self.folder / "slower"


def worker_process(world: World, draw: random.Random) -> None:
    """A process that trains dies; if none does at this moment, the next one."""
    assert world.driver is not None
    while not (training := processes_in_training(world)) and world.driver.poll() is None:
        time.sleep(0.05)
    if training:
        os.kill(draw.choice(training), signal.SIGKILL)


def processes_in_training(world: World) -> list[int]:
    """Those of all nodes."""
    return [pid for node in world.workers for pid in tree(node.pid) if b"ray::ImplicitFunc" in command(pid)]


def node(world: World, draw: random.Random) -> None:
    """A machine dies, and another one comes."""
    lost = world.workers.pop(draw.randrange(len(world.workers)))
    world.nodes.kill(lost)
    world.workers.append(worker(world.nodes, world.slower))


def driver(world: World, draw: random.Random) -> None:
    """The command dies."""
    assert world.driver is not None
    world.driver.kill()


def head(world: World, draw: random.Random) -> None:
    """The head dies, the command with it, and all nodes; a new cluster comes."""
    driver(world, draw)
    world.nodes.kill_all()
    world.nodes, world.workers = cluster(world.slower)


def server(world: World, draw: random.Random) -> None:
    """The tracking server dies, and comes back."""
    world.server.stop()
    time.sleep(AWAY_SECONDS)
    world.server.start()


def disk(world: World, draw: random.Random) -> None:
    """The disk of the checkpoints fills up, if it has room, and has it again when the round is over."""
    try:
        with (world.kept / "filler").open("wb") as filler:
            while True:
                filler.write(bytes(2**16))
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise


Fault = Callable[[World, random.Random], None]
FAULTS: dict[str, Fault] = {
    "kill -9 of a training process": worker_process,
    "kill -9 of a node": node,
    "kill -9 of the driver": driver,
    "kill -9 of head and cluster": head,
    "kill -9 of the MLflow server": server,
    "full disk for checkpoints": disk,
}


def command(pid: int) -> bytes:
    """The command line of a process, empty if it has ended."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def cluster(slower: Path) -> tuple[Nodes, list[subprocess.Popen[bytes]]]:
    """A head that trains nothing and two nodes of a CPU."""
    nodes = Nodes()
    return nodes, [worker(nodes, slower), worker(nodes, slower)]


def worker(nodes: Nodes, slower: Path) -> subprocess.Popen[bytes]:
    """One more node, with what is in the folder ``slower``."""
    return nodes.add(PYTHONPATH=str(slower))


@contextlib.contextmanager
def small_disk(folder: Path) -> Iterator[None]:
    """A file system of its own at ``folder``."""
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(folder)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def sweep(seeds: int) -> list[str]:
    """Five trials a seed, of a few seconds each."""
    return [
        sys.executable, "-m", "sweeps.noise", "--scale", "smoke", "--seeds", *map(str, range(seeds)), "--epochs", "75",
        "--csr-examples", "0", "--validation-schedule", "curve",
    ]  # fmt: skip


def start(world: World, seeds: int, limit: int | None) -> subprocess.Popen[str]:
    """The command, for the next ``limit`` trials."""
    way = ["--address", world.nodes.address, "--tracking-uri", world.server.uri, "--max-cohort", "2"]
    kept = ["--checkpoint-dir", str(world.kept), "--checkpoint-seconds", "0.5"]
    limited = [] if limit is None else ["--limit", str(limit)]
    with (world.folder / "output").open("a") as output:
        return subprocess.Popen(
            [*sweep(seeds), *way, *kept, *limited],
            cwd=world.folder,
            env=world.nodes.environment | {"PYTHONPATH": str(ROOT)},
            stdout=output,
            stderr=subprocess.STDOUT,
            text=True,
        )


def in_training(world: World, since: float) -> bool:
    """Whether some cohort has been kept since the round began."""
    for file in world.kept.glob("*/*.json"):
        with contextlib.suppress(FileNotFoundError):  # its cohort has just ended
            if file.stat().st_mtime > since:
                return True
    return False


def rows(world: World, query: str) -> list[tuple[object, ...]]:
    """What the server's database has."""
    with sqlite3.connect(world.folder / "server.db") as store:
        return store.execute(query).fetchall()


def play(
    world: World, seeds: int, fault: Fault | None, draw: random.Random
) -> tuple[float, float | None, int]:
    """One round: its seconds, when the fault came, and how many of its trials had to go on elsewhere."""
    began, at = time.monotonic(), None
    began_ms = time.time() * 1000
    world.driver = start(world, seeds, TRIALS_A_ROUND)
    while fault and world.driver.poll() is None and not in_training(world, began_ms / 1000):
        time.sleep(0.05)
    if fault and world.driver.poll() is None:
        time.sleep(draw.uniform(0, 2))
        at = time.monotonic() - began
        fault(world, draw)
    world.driver.wait(timeout=600)
    (world.kept / "filler").unlink(missing_ok=True)
    resumed = rows(world, f"""select count(*) from latest_metrics m join runs r using (run_uuid)
        where m.key = 'resumed_epoch' and r.end_time > {began_ms} and r.status = 'FINISHED'""")  # fmt: skip
    return time.monotonic() - began, at, int(str(resumed[0][0]))


def measured(database: Path) -> list[tuple[object, ...]]:
    """Every number of every finished run but those that the clock decides, each as often as it is there."""
    query = f"""select t.value, m.key, m.step, m.value
        from metrics m join runs r using (run_uuid) join tags t using (run_uuid)
        where t.key = 'trial' and r.status = 'FINISHED' and r.lifecycle_stage = 'active' {NOT_MEASURED}"""
    with sqlite3.connect(database) as store:
        return sorted(store.execute(query).fetchall())


def undisturbed(folder: Path, seeds: int) -> list[tuple[object, ...]]:
    """What the sweep measures where nothing goes wrong, in one process and cohorts as large as they come."""
    folder.mkdir()
    subprocess.run(
        [*sweep(seeds), "--address", "inline", "--cpus", "1"], cwd=folder, check=True, capture_output=True
    )
    return measured(folder / "mlflow.db")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the rounds, print the table. Returns 0 if nothing was lost or doubled."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--calm", type=int, default=3)
    options = parser.parse_args(arguments)
    if min(options.rounds, options.calm) < 1:
        parser.error("--rounds and --calm must be at least 1")
    draw = random.Random(options.seed)
    seeds = -(-TRIALS_A_ROUND * (options.calm + options.rounds) // 5)
    with tempfile.TemporaryDirectory(prefix="chaos_", dir="/tmp") as name:
        folder = Path(name)
        expected = undisturbed(folder / "undisturbed", seeds)
        with small_disk(folder / "kept"):
            write_slower(folder / "slower", SLOWER_SECONDS)
            world = World(folder, *cluster(folder / "slower"), Server(folder))
            try:
                calm = calm_seconds(world, seeds, options.calm, draw)
                return judge(world, seeds, play_all(world, seeds, options.rounds, draw, calm), expected)
            finally:
                world.nodes.end()
                world.server.stop()


def calm_seconds(world: World, seeds: int, rounds: int, draw: random.Random) -> float:
    """What a round without a fault takes: the median of some."""
    calm = statistics.median(play(world, seeds, None, draw)[0] for _ in range(rounds))
    print(f"a round without a fault: {calm:.1f} s (median of {rounds}), {TRIALS_A_ROUND} trials\n")
    return calm


def play_all(world: World, seeds: int, rounds: int, draw: random.Random, calm: float) -> bool:
    """All rounds with a fault, and the last command; whether that ended well."""
    print("round  fault                          at     trials redone  seconds lost")
    deck = list(FAULTS) * -(-rounds // len(FAULTS))
    draw.shuffle(deck)
    for number in range(1, rounds + 1):
        name = deck[number - 1]
        seconds, at, resumed = play(world, seeds, FAULTS[name], draw)
        when = "-" if at is None else f"{at:.1f} s"
        print(f"{number:5}  {name:29}  {when:>6}  {resumed:12}  {seconds - calm:12.1f}", flush=True)
    world.driver = start(world, seeds, None)
    return world.driver.wait(timeout=900) == 0


def judge(world: World, seeds: int, ended_well: bool, expected: list[tuple[object, ...]]) -> int:
    """Whether the store has exactly the plan, each trial once, with the numbers that it would have anyway."""
    status = rows(world, "select status, count(*) from runs where lifecycle_stage = 'active' group by status")
    same = measured(world.folder / "server.db") == expected
    print(json.dumps({"planned": 5 * seeds, "runs": dict(map(tuple, status)), "records equal": same}))
    if ended_well and same and status == [("FINISHED", 5 * seeds)]:
        return 0
    print((world.folder / "output").read_text(), file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
