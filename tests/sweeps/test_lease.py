"""Who may drive an experiment: the rules, with drivers and stores of this process."""

from __future__ import annotations

import dataclasses
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient

from sweeps import _keeper, _lease
from sweeps._keeper import Keeper, held, keep
from sweeps._lease import PREFIX, ClientTags, Holder, Lease, is_alive, this_process
from sweeps._ledger import LedgerError
from sweeps._writers import open_writer

ELSEWHERE = Holder(
    "e" * 32, "node7", 4711, "another boot", "1", since=time.time(), beat=time.time(), held=True
)


class FakeTags:
    """A store in memory. ``before`` runs ahead of every call: an error, or another driver's step."""

    def __init__(self, *holders: Holder) -> None:
        self.holders = {holder.token: holder for holder in holders}
        self.before: Callable[[str], None] = lambda call: None

    def read(self) -> Mapping[str, Holder]:
        self.before("read")
        return dict(self.holders)

    def write(self, holder: Holder) -> None:
        self.before("write")
        self.holders[holder.token] = holder

    def remove(self, token: str) -> None:
        self.before("remove")
        self.holders.pop(token, None)


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    for module, name, seconds in (
        (_lease, "POLL_SECONDS", 0.02), (_lease, "WATCH_SECONDS", 0.3), (_lease, "STALE_SECONDS", 0.6),
        (_keeper, "RENEW_SECONDS", 0.1), (_keeper, "AGAIN_SECONDS", 0.05),
    ):  # fmt: skip
        monkeypatch.setattr(module, name, seconds)


def lease(tags: _lease.Tags, notes: list[str] | None = None, **me: Any) -> Lease:
    holder = dataclasses.replace(this_process(), **me)
    return Lease(tags, holder, "x", [].append if notes is None else notes.append, threading.Event())


def dead_process() -> Holder:
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    holder = dataclasses.replace(
        this_process(), pid=process.pid, started=_lease._started(process.pid) or "", held=True
    )
    assert is_alive(holder)
    process.kill()
    while Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z":
        time.sleep(0.01)
    assert is_alive(holder) is False  # even before its parent has asked for what remains of it
    process.wait()
    assert is_alive(holder) is False
    return holder


def wait_for(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_free_experiment_is_taken_and_given_back() -> None:
    tags = FakeTags()
    first = lease(tags)
    first.take()
    (holder,) = tags.holders.values()
    assert (holder.held, holder.pid, holder.generation) == (True, os.getpid(), 1)
    first.give_back()
    assert not tags.holders
    first.give_back()


def test_a_second_driver_is_refused_in_one_line_that_names_the_first() -> None:
    tags = FakeTags()
    lease(tags).take()
    before = dict(tags.holders)
    with pytest.raises(LedgerError) as refusal:
        lease(tags).take()
    line = str(refusal.value)
    host = next(iter(before.values())).host
    for words in ("experiment 'x'", f"process {os.getpid()} on {host}, since 20", "Ctrl-C", "--experiment"):
        assert words in line
    assert "\n" not in line
    assert tags.holders == before


def test_a_driver_of_this_machine_that_is_gone_is_taken_over_at_once() -> None:
    gone = dead_process()
    tags = FakeTags(gone)
    notes: list[str] = []
    lease(tags, notes).take()
    (holder,) = tags.holders.values()
    assert (holder.pid, holder.generation) == (os.getpid(), gone.generation + 1)
    assert not notes


def test_a_process_id_that_is_used_again_is_no_driver() -> None:
    assert is_alive(dataclasses.replace(this_process(), started="12345")) is False


def test_a_driver_elsewhere_cannot_be_looked_at() -> None:
    assert is_alive(ELSEWHERE) is None
    assert is_alive(dataclasses.replace(this_process(), machine="")) is None


def test_a_driver_elsewhere_that_is_silent_is_taken_over_after_a_wait_that_is_told() -> None:
    tags = FakeTags(dataclasses.replace(ELSEWHERE, beat=time.time()))
    notes: list[str] = []
    started = time.monotonic()
    lease(tags, notes).take()
    assert 0.5 < time.monotonic() - started < 5
    assert [holder.pid for holder in tags.holders.values()] == [os.getpid()]
    (note,) = notes
    assert "process 4711 on node7" in note


@pytest.mark.parametrize("skew", [-3600, -1, 0, 3600])
def test_a_driver_elsewhere_that_gives_signs_of_life_is_respected_whatever_its_clock_says(
    skew: float,
) -> None:
    tags = FakeTags(dataclasses.replace(ELSEWHERE, beat=time.time() + skew))
    reads = 0

    def live(call: str) -> None:
        nonlocal reads
        reads += 1
        if reads == 5:
            tags.holders[ELSEWHERE.token] = dataclasses.replace(ELSEWHERE, beat=time.time() + skew + 1)

    tags.before = live
    with pytest.raises(LedgerError, match="process 4711 on node7"):
        lease(tags).take()
    assert list(tags.holders) == [ELSEWHERE.token]


@pytest.mark.parametrize("seed", range(20))
def test_of_drivers_that_start_at_once_exactly_one_goes_on(seed: int) -> None:
    """Each call to the store takes a random time, so that the calls of all drivers mix in all ways."""
    tags = FakeTags()
    draws = random.Random(seed)
    tags.before = lambda call: time.sleep(draws.choice([0, 0, 0.001, 0.005]))
    outcomes: list[bool] = []
    start = threading.Barrier(4)

    def drive() -> None:
        mine = lease(tags)
        start.wait()
        try:
            mine.take()
        except LedgerError:
            outcomes.append(False)
        else:
            outcomes.append(True)

    threads = [threading.Thread(target=drive) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == [False, False, False, True]
    assert [holder.held for holder in tags.holders.values()] == [True]


@pytest.mark.parametrize("smaller_is_late", [True, False])
def test_a_driver_that_starts_while_another_looks_around_waits_for_its_decision(
    smaller_is_late: bool,
) -> None:
    """The smaller token has right of way, but not over one that has looked around already and saw nobody."""
    tags = FakeTags()
    tokens = ("a", "b") if smaller_is_late else ("b", "a")
    late, early = (lease(tags, token=token * 32) for token in tokens)
    refused: list[str] = []
    second = threading.Thread(target=lambda: refused.append(_refusal(late)))

    def between(call: str) -> None:
        if call == "write" and len(tags.holders) == 1 and not second.ident:
            second.start()  # the early one is about to say that it holds the experiment
            time.sleep(0.2)

    tags.before = between
    early.take()
    second.join()
    assert "another driver is at work" in refused[0]
    assert list(tags.holders) == [tokens[1] * 32]


def _refusal(one: Lease) -> str:
    try:
        one.take()
    except LedgerError as error:
        return str(error)
    return ""


def test_a_driver_that_was_taken_over_while_it_was_silent_ends() -> None:
    tags = FakeTags()
    first = lease(tags, machine="another boot")
    first.take()
    second = lease(tags)
    second.take()  # after having watched the first in vain
    with pytest.raises(LedgerError, match=f"took experiment 'x' over.*process {os.getpid()}"):
        first.renew()
    second.renew()
    assert [holder.generation for holder in tags.holders.values()] == [2]


def test_a_driver_whose_lease_nobody_else_has_goes_on_with_it() -> None:
    """A taker came and went while the store was away from here."""
    tags = FakeTags()
    first = lease(tags)
    first.take()
    tags.holders.clear()
    first.renew()
    assert len(tags.holders) == 1


def test_a_lease_is_renewed_until_the_end_and_then_given_back() -> None:
    tags = FakeTags()
    mine, stop, reasons = lease(tags), threading.Event(), []
    mine.take()
    (taken,) = tags.holders.values()
    thread = threading.Thread(target=lambda: reasons.append(keep(mine, stop)))
    thread.start()
    wait_for(lambda: tags.holders[taken.token].beat > taken.beat + 0.15)  # a second renewal, too
    stop.set()
    thread.join()
    assert reasons == [""]
    assert not tags.holders


def test_a_store_that_is_away_costs_no_lease(capsys: pytest.CaptureFixture[str]) -> None:
    tags = FakeTags()
    mine, stop, reasons = lease(tags), threading.Event(), []
    mine.take()
    (taken,) = tags.holders.values()

    calls: list[str] = []

    def away(call: str) -> None:
        calls.append(call)
        raise ConnectionError("connection refused")

    tags.before = away
    thread = threading.Thread(target=lambda: reasons.append(keep(mine, stop)))
    thread.start()
    wait_for(lambda: len(calls) > 3)
    assert list(tags.holders.values()) == [taken]
    tags.before = lambda call: None
    wait_for(lambda: tags.holders[taken.token].beat > taken.beat)
    stop.set()
    thread.join()
    assert reasons == [""]
    assert "could not be renewed: connection refused" in capsys.readouterr().err


@pytest.fixture
def uri(tmp_path: Path, empty_store: Path) -> str:
    shutil.copy(empty_store, tmp_path)
    return f"sqlite:///{tmp_path}/mlflow.db"


def tags_of(uri: str, experiment: str = "x") -> tuple[ClientTags, dict[str, str]]:
    client = MlflowClient(uri)
    found = client.get_experiment_by_name(experiment)
    return ClientTags(client, found.experiment_id), found.tags


def test_a_store_keeps_leases_as_tags_of_the_experiment(uri: str) -> None:
    open_writer(uri, "x")
    tags, others = tags_of(uri)
    tags.write(ELSEWHERE)
    assert tags.read() == {ELSEWHERE.token: ELSEWHERE}
    moved = dataclasses.replace(ELSEWHERE, beat=5.0)
    tags.write(moved)
    assert tags.read() == {ELSEWHERE.token: moved}
    tags.remove(ELSEWHERE.token)
    tags.remove(ELSEWHERE.token)
    assert tags.read() == {}
    assert tags_of(uri)[1] == others


def test_a_lease_that_cannot_be_read_is_told_with_its_tag(uri: str) -> None:
    open_writer(uri, "x")
    client = MlflowClient(uri)
    client.set_experiment_tag(client.get_experiment_by_name("x").experiment_id, f"{PREFIX}1", '{"new": 1}')
    with (
        pytest.raises(LedgerError, match=r"tag memory_study.lease.1 is no lease .* remove it"),
        held(uri, "x", print),
    ):
        pass


def test_an_experiment_is_ours_as_long_as_we_hold_it(uri: str) -> None:
    with held(uri, "x", print):
        with pytest.raises(LedgerError, match="another driver is at work"), held(uri, "x", print):
            pass
        with held(uri, "y", print):
            assert len(tags_of(uri)[0].read()) == 1
    with held(uri, "x", print):
        pass
    assert tags_of(uri)[0].read() == {}


def test_whatever_ends_a_driver_its_lease_is_given_back(uri: str) -> None:
    for mistake in (ValueError, KeyboardInterrupt, SystemExit):
        with pytest.raises(mistake), held(uri, "x", print):
            raise mistake
    assert tags_of(uri)[0].read() == {}


@pytest.fixture
def ctrl_c() -> Iterator[None]:
    """Python's own answer to SIGINT, whatever the tests before have left."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def hold(uri: str, meanwhile: Callable[[], object]) -> None:
    with held(uri, "x", print):
        meanwhile()
        time.sleep(30)
        raise AssertionError("nobody stopped this driver")


@pytest.mark.usefixtures("ctrl_c")
def test_a_driver_that_loses_its_lease_is_stopped_with_the_reason(uri: str) -> None:
    taker = dataclasses.replace(ELSEWHERE, generation=2)
    with pytest.raises(LedgerError, match="process 4711 on node7"):
        hold(uri, lambda: tags_of(uri)[0].write(taker))
    assert list(tags_of(uri)[0].read()) == [ELSEWHERE.token]


@pytest.mark.usefixtures("ctrl_c")
def test_ctrl_c_stays_ctrl_c(uri: str) -> None:
    with pytest.raises(KeyboardInterrupt):
        hold(uri, lambda: os.kill(os.getpid(), signal.SIGINT))
    assert not tags_of(uri)[0].read()


def test_a_process_keeps_the_lease_and_gives_it_back(uri: str, capfd: pytest.CaptureFixture[str]) -> None:
    with _keeper.kept(uri, "x") as keeper:
        keeper.wait(print)
        (holder,) = tags_of(uri)[0].read().values()
        assert (holder.pid, holder.held) == (os.getpid(), True)
        second = Keeper(uri, "x")
        with pytest.raises(LedgerError, match=f"process {os.getpid()} on "):
            second.wait(print)
        second.close()
    assert tags_of(uri)[0].read() == {}


DRIVER = """
import sys, time
from sweeps._keeper import kept
with kept(sys.argv[1], "x") as keeper:
    keeper.wait(print)
    print("ours", flush=True)
    time.sleep(600)
"""


def test_a_driver_that_is_killed_leaves_no_lease(uri: str) -> None:
    driver = subprocess.Popen([sys.executable, "-c", DRIVER, uri], stdout=subprocess.PIPE, text=True)
    assert driver.stdout is not None
    assert driver.stdout.readline() == "ours\n"
    driver.kill()
    driver.communicate()
    deadline = time.monotonic() + 30
    while tags_of(uri)[0].read():
        assert time.monotonic() < deadline
        time.sleep(0.1)
