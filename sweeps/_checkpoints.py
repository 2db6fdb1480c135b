"""Where cohorts in training are kept, so that a lost machine costs a minute and not an hour: a folder, or any fsspec path.

A cohort has two files: its state, and a list of its trials, written after it. Both are named by the cohort, not by who
trains it: a retried task finds them on whatever node, and so does a later driver. Two processes that train one cohort
(a node came back from the dead) may overwrite each other: each state leads to the same records.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import json
import sys
import time
import traceback
import uuid
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import quote

from memory_study._fingerprint import fingerprint
from sweeps._ledger import without_password

LEFTOVER_SECONDS = 3600.0
"""No process takes so long to write one file, or the list of trials after its state: what is half there died with it."""

LEAST_RATIO = 20
"""Training lasts at least so many times as long as keeping its state took: at most a twentieth is lost to that."""


@dataclass(frozen=True, slots=True)
class Kept:
    """A cohort that was in training: the name of its files, its trials' ids, and the epochs behind it."""

    name: str
    trials: frozenset[str]
    epoch: int
    on: str = field(default="", compare=False)
    """See :func:`training_on`."""


def training_on(gpu: bool) -> str:
    """What a training must share from its first epoch to its last, besides the code: torch, and the type of device."""
    return f"torch {importlib.metadata.version('torch')} on {'cuda' if gpu else 'cpu'}"


class Folder:
    """The checkpoints of one experiment of one store. Pickled as its path; connects where it is used.

    One driver at a time has such an experiment, so whatever it deletes here, it takes from no other driver's workers.
    """

    def __init__(self, path: str) -> None:
        self.path = path

    @classmethod
    def of(cls, place: str, experiment: str, store: str) -> Folder:
        """That of ``experiment`` of ``store`` in ``place``, a folder or a URI.

        A folder becomes absolute: workers run elsewhere. Experiments of other stores may bear the same name.
        """
        base = place.rstrip("/") if "://" in place else str(Path(place).expanduser().absolute())
        digest = hashlib.sha256(without_password(store).encode()).hexdigest()
        return cls(f"{base}/{quote(experiment, safe=' ')}-{digest[:8]}")

    def check(self) -> None:
        """Raises an error, of whatever kind, where nothing can be written. Leaves nothing behind."""
        missing = [] if "://" in self.path else [p for p in _upwards(self.path) if not p.exists()]
        probe = f"{self.path}/.probe-{uuid.uuid4().hex}"  # another driver may ask at the same time
        self._write(probe, b"")
        self._files.rm_file(self._inner(probe))
        for folder in missing:
            _remove_if_empty(folder)

    def leave(self) -> None:
        """Remove the folder itself where nothing is left in it; an object store has none."""
        if "://" not in self.path:
            _remove_if_empty(Path(self.path))

    def prune(self, finished: Callable[[], Container[str]]) -> None:
        """Delete what nobody goes on with, such as the states of cohorts that ended in parts; see :meth:`resumable`.

        ``finished`` gives the trials that the store has; it is asked only if something is kept.
        """
        with _logged():
            if any(True for _ in self._all()):
                self.resumable(finished())

    def read(self, name: str) -> bytes | None:
        """The state of a cohort; None where there is none."""
        try:
            state: bytes = self._files.cat_file(self._inner(self._state(name)))
        except FileNotFoundError:
            return None
        return state

    def write(self, name: str, trials: Iterable[str], epoch: int, state: bytes, gpu: bool = False) -> None:
        """Keep a state in place of the one before it; ``gpu`` if it was trained on one."""
        about = {
            "version": fingerprint(),
            "on": training_on(gpu),
            "trials": sorted(trials),
            "epoch": epoch,
        }
        self._write(self._state(name), state)
        self._write(self._about(name), json.dumps(about).encode())

    def remove(self, name: str) -> None:
        """Delete what is kept of a cohort, if anything is."""
        for file in (self._about(name), self._state(name)):
            with contextlib.suppress(FileNotFoundError):
                self._files.rm_file(self._inner(file))

    def forget(self, name: str) -> None:
        """As :meth:`remove`, once its results are safe: what goes wrong is only logged."""
        with _logged():
            self.remove(name)

    def resumable(self, finished: Container[str], gpu: bool = False) -> list[Kept]:
        """The cohorts to go on with, on GPUs or on CPUs; those of the other kind stay where they are.

        Others are deleted: other versions' states, those whose trials are all finished, and what a process left that died
        while it wrote.
        """
        found = []
        with _logged():
            for kept, version in list(self._all()):
                if version == fingerprint() and not all(trial in finished for trial in kept.trials):
                    found.append(kept)
                else:
                    self.remove(kept.name)
        with _logged():
            self._remove_leftovers()
        here = training_on(gpu)
        return [kept for kept in found if kept.on == here]

    def _remove_leftovers(self) -> None:
        files = self._files
        there = set(
            files.glob(self._inner(f"{self.path}/*")) + files.glob(self._inner(f"{self.path}/.probe-*"))
        )
        for file in there:
            path, _, kind = file.rpartition(".")
            if kind == "json" or (kind == "state" and f"{path}.json" in there):
                continue
            with contextlib.suppress(FileNotFoundError):  # it was being written, and is whole by now
                if time.time() - files.modified(file).timestamp() > LEFTOVER_SECONDS:
                    files.rm_file(file)

    def furthest(self, names: Iterable[str], trials: Iterable[str], gpu: bool = False) -> int:
        """Epochs behind the furthest of these checkpoints that ``trials`` can go on from; 0 where there is none."""
        epochs = [0]
        with _logged():
            for kept, version in filter(None, map(self._about_cohort, names)):
                fits = version == fingerprint() and kept.on == training_on(gpu)
                if fits and kept.trials.issuperset(trials):
                    epochs.append(kept.epoch)
        return max(epochs)

    def _all(self) -> Iterator[tuple[Kept, str]]:
        """Every cohort, see :meth:`_about_cohort`."""
        for file in self._files.glob(self._inner(f"{self.path}/*.json")):
            found = self._about_cohort(file.rpartition("/")[2].removesuffix(".json"))
            if found:
                yield found

    def _about_cohort(self, name: str) -> tuple[Kept, str] | None:
        """What is kept of a cohort with the version of the code that kept it, "" where that cannot be read."""
        try:
            about: dict[str, Any] = json.loads(self._files.cat_file(self._inner(self._about(name))))
            return Kept(name, frozenset(about["trials"]), about["epoch"], about["on"]), about["version"]
        except FileNotFoundError:  # or its results have just arrived
            return None
        except (ValueError, KeyError, TypeError):  # a machine died while it wrote
            return Kept(name, frozenset(), 0), ""

    @property
    def _files(self) -> Any:
        import fsspec

        # Workers and tracker write from other processes: what was listed once says nothing of what is there.
        return fsspec.core.url_to_fs(self.path, use_listings_cache=False)[0]

    def _inner(self, path: str) -> str:
        import fsspec

        return str(fsspec.core.url_to_fs(path, use_listings_cache=False)[1])

    def _state(self, name: str) -> str:
        return f"{self.path}/{name}.state"

    def _about(self, name: str) -> str:
        return f"{self.path}/{name}.json"

    def _write(self, path: str, content: bytes) -> None:
        """In one step for whoever reads: object stores do that by themselves."""
        files, inner = self._files, self._inner(path)
        if "file" not in files.protocol:
            files.pipe_file(inner, content)
            return
        aside = Path(f"{inner}.{uuid.uuid4().hex}.partial")
        _open_new(aside).close()
        try:
            aside.write_bytes(content)
            aside.replace(inner)
        finally:
            aside.unlink(missing_ok=True)


def _open_new(file: Path) -> BinaryIO:
    """A new file, with its folder: tried twice, because a driver that ends removes the folder if it is empty."""
    file.parent.mkdir(parents=True, exist_ok=True)
    try:
        return file.open("wb")
    except FileNotFoundError:
        file.parent.mkdir(parents=True, exist_ok=True)
        return file.open("wb")


def _upwards(path: str) -> list[Path]:
    return [Path(path), *Path(path).parents]


def _remove_if_empty(folder: Path) -> None:
    with contextlib.suppress(OSError):
        folder.rmdir()


class CohortCheckpoints:
    """The checkpoints of one cohort in training, by time. A folder that cannot be used costs no result: it is logged."""

    def __init__(
        self, folder: Folder, names: Sequence[str], trials: Iterable[str], every: float, gpu: bool = False
    ) -> None:
        """Keep the state of ``trials`` under the first of ``names`` every so many seconds; the others may have one, too.

        ``gpu`` if they train on one.
        """
        self._folder, self._names, self._trials, self._gpu = folder, names, tuple(trials), gpu
        self._every = self._wait = every
        self._last = time.monotonic()

    def states(self) -> Iterator[bytes]:
        """See :class:`memory_study.run.Checkpoints`."""
        for name in dict.fromkeys(self._names):
            with _logged():
                state = self._folder.read(name)
                if state is not None:
                    yield state

    def offer(self, epoch: int, state: Callable[[], bytes]) -> None:
        """See :class:`memory_study.run.Checkpoints`."""
        began = time.monotonic()
        if began - self._last < self._wait:
            return
        with _logged():
            self._folder.write(self._names[0], self._trials, epoch, state(), self._gpu)
        self._last = time.monotonic()
        self._wait = max(self._every, LEAST_RATIO * (self._last - began))


@contextlib.contextmanager
def _logged() -> Iterator[None]:
    """Whatever a file system raises (each has its own errors) goes to the log: training goes on without it."""
    try:
        yield
    except Exception:  # noqa: BLE001 - see above
        with contextlib.suppress(OSError):  # the log's disk may be full
            traceback.print_exc(file=sys.stderr)
