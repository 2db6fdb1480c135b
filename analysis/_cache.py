"""Keeping what was read from a store on disk, so that a large store is read once.

Files lie in ``$XDG_CACHE_HOME/memory-study`` (else ``~/.cache/memory-study``), one with the facts of an
experiment's runs and one for each metric whose history was asked for. They may be deleted at any time.

A finished run does not change by itself, so only runs that the files lack are read. The store is asked each time
which runs there are, with a mark for each that follows from its end time, its tags that are read, the number of
its params, and number, sum, steps and times of its latest metrics (through a server: from all of these in full).
So noticed are runs that came, went to the trash, came back or were run again, another database in the place of
the old one, tags edited and metrics logged by hand after the run had ended. Not noticed is what only a
database's owner can do, or what leaves a metric's latest point alone: a value rewritten in the tables of the
history, or a point logged later for an epoch before the last. ``--no-cache`` reads everything anew.
"""

from __future__ import annotations

import hashlib
import io
import json
import logging
import os
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis._artifacts import reason
from analysis._frames import Frames, tidy
from analysis._rows import Facts, History, Rows, joined, names_index
from analysis._store import ARRAYS_FILE, Experiment, Store, StoreError
from memory_study import record
from memory_study.record import Tag

FORMAT = 3
"""Version of the files' layout. Raise it with any change to what they hold."""
_DIGEST_BYTES = 16

Arrays = Mapping[str, NDArray[Any]]
_log = logging.getLogger(__name__)


def default_folder() -> Path | None:
    """Where the files are by default; None for a user who has no home."""
    named = os.environ.get("XDG_CACHE_HOME", "")
    if os.path.isabs(named):  # the standard says that any other is to be ignored
        return Path(named) / "memory-study"
    try:
        return Path.home() / ".cache" / "memory-study"
    except RuntimeError:
        return None


def load(
    store: Store,
    experiment: Experiment,
    curves: Iterable[str],
    folder: Path | None,
    arrays: Iterable[str] = (),
) -> Frames:
    """The tidy tables of an experiment, with the histories of the metrics ``curves``, and these ``arrays``.

    ``folder`` keeps what was read; None reads everything and keeps nothing. The tables are the same either way.
    Files that cannot be read or written cost time, never the result. Raises StoreError.
    """
    files = Files(folder, store.identity, experiment.id)
    runs, facts = _facts(store, experiment, files)
    histories = {key: _history(store, files, runs["mark"], key) for key in sorted(set(curves))}
    found = _arrays(store, files, runs["mark"], facts.tags, sorted(set(arrays)))
    return tidy(Rows(runs[["end_time"]], facts, histories, found))


class Files:
    """The files of one experiment of one store. With ``folder`` None nothing is there, and nothing is kept.

    What they hold is by mark (see :meth:`analysis._store.Store.trials`), so a run that changed is not in them.
    """

    def __init__(self, folder: Path | None, store: str, experiment: str) -> None:
        self._folder = folder
        self._of = (FORMAT, record.SCHEMA, store, experiment)

    def facts(self) -> Facts:
        """The facts that were kept, with marks as index. No rows where there are none."""
        found = self._read("facts")
        index = names_index(_texts(found["marks"]) if found else [])
        if not found:
            return Facts(*(pd.DataFrame(index=index) for _ in range(3)))
        return Facts(
            _text_table(found, "params", index),
            _text_table(found, "tags", index),
            pd.DataFrame(found["metrics"], index, names_index(_texts(found["metrics.names"]))),
        )

    def keep_facts(self, facts: Facts) -> None:
        """Put these in the place of what was kept."""
        arrays = {
            "marks": _packed(facts.params.index),
            "metrics": facts.metrics.to_numpy(float),
            "metrics.names": _packed(facts.metrics.columns),
        }
        texts = {**_text_arrays("params", facts.params), **_text_arrays("tags", facts.tags)}
        self._write({**arrays, **texts}, "facts")

    def history(self, key: str) -> tuple[pd.Index, History]:
        """Marks of the runs whose history was kept, and the history."""
        found = self._read("history", key)
        if not found:
            none = np.empty(0, np.int64)
            return names_index([]), History(none, none, np.empty(0))
        marks = names_index(_texts(found["marks"]))
        return marks, History(found["counts"], found["steps"], found["values"])

    def keep_history(self, key: str, marks: Iterable[str], history: History) -> None:
        """Put this in the place of what was kept."""
        arrays: Arrays = {"counts": history.counts, "steps": history.steps, "values": history.values}
        self._write({**arrays, "marks": _packed(marks)}, "history", key)

    def array_files(self) -> dict[str, bytes]:
        """Files of arrays, by mark."""
        found = self._read("arrays")
        if not found:
            return {}
        ends = np.cumsum(found["sizes"])
        contents = found["contents"].tobytes()
        starts = ends - found["sizes"]
        return {m: contents[a:b] for m, a, b in zip(_texts(found["marks"]), starts, ends, strict=True)}

    def keep_array_files(self, files: Mapping[str, bytes]) -> None:
        """Put these in the place of what was kept."""
        sizes = np.array([len(content) for content in files.values()], np.int64)
        contents = np.frombuffer(b"".join(files.values()), np.uint8)
        self._write({"marks": _packed(files), "sizes": sizes, "contents": contents}, "arrays")

    def _path(self, *part: str) -> Path | None:
        if self._folder is None:
            return None
        name = hashlib.blake2b(json.dumps([*self._of, *part]).encode(), digest_size=16).hexdigest()
        return self._folder / f"{name}.npz"

    def _read(self, *part: str) -> Arrays:
        """The arrays of a file; none where it is not there, or is not as it was written."""
        path = self._path(*part)
        try:
            content = b"" if path is None else path.read_bytes()
        except OSError:  # most often there is none yet; where there is, writing it anew says what is wrong
            return {}
        digest, packed = content[:_DIGEST_BYTES], memoryview(content)[_DIGEST_BYTES:]
        if not content or _digest(packed) != digest:
            return {}
        with np.load(io.BytesIO(packed), allow_pickle=False) as arrays:
            return dict(arrays)

    def _write(self, arrays: Arrays, *part: str) -> None:
        """Write a file in one step: who reads at the same time gets the old one or the new one."""
        path = self._path(*part)
        if path is None:
            return
        packed = io.BytesIO()
        np.savez(packed, allow_pickle=False, **arrays)
        try:
            _replace(path, _digest(packed.getbuffer()), packed.getbuffer())
        except OSError as error:
            self._folder = None  # said once: the other files would fare no better
            _log.warning("%s cannot be written (%s); the store is read anew each time", path, error.strerror)


def _facts(store: Store, experiment: Experiment, files: Files) -> tuple[pd.DataFrame, Facts]:
    """The finished trials as :meth:`Store.trials` gives them, and the facts of all of them."""
    old = files.facts()
    runs, news = store.trials(experiment, frozenset(old.params.index))
    marks = names_index(runs["mark"])
    facts = old
    if len(news.params) or len(old.params) != len(marks):
        fresh = news.at(marks[runs.index.get_indexer(news.params.index)])
        facts = old.and_(fresh).of(marks)
        files.keep_facts(facts)
    return runs, facts.of(marks).at(runs.index)


def _history(store: Store, files: Files, marks: pd.Series, key: str) -> History:
    """The history of all runs, of which only those are read that were not kept."""
    known, old = files.history(key)
    places = known.get_indexer(names_index(marks)).astype(np.int64)
    missing = places < 0
    if not missing.any() and len(known) == len(marks):
        return old.of(places)
    new = store.history(list(marks.index[missing]), key)
    places[missing] = len(known) + np.arange(missing.sum())
    current = joined([old, new]).of(places)
    files.keep_history(key, marks, current)
    return current


def _arrays(
    store: Store, files: Files, marks: pd.Series, tags: pd.DataFrame, names: Iterable[str]
) -> pd.DataFrame:
    """The arrays of these names, for all runs; only the files of runs that were not kept are read.

    A file is kept once all arrays that its run's tag lists were read from it. Raises StoreError.
    """
    table = pd.DataFrame(index=marks.index)
    mark_of = {str(run): str(mark) for run, mark in marks.items()}
    listed = tags[Tag.ARRAYS].astype(object) if Tag.ARRAYS in tags else pd.Series(dtype=object)
    having = {str(run): set(text.split(",")) for run, text in listed.dropna().items()}
    wanted = {run: chosen for run in having if (chosen := having[run].intersection(names))}
    if not wanted:
        return table
    known = files.array_files()
    missing = [run for run in wanted if mark_of[run] not in known]
    opened: dict[str, Arrays] = {}
    if missing:
        for run, content in zip(missing, store.arrays(missing), strict=True):
            whole = _opened(run, content, having[run])
            opened[run] = {name: whole[name] for name in wanted[run]}
            known[mark_of[run]] = content
        files.keep_array_files({mark: known[mark] for mark in mark_of.values() if mark in known})
    cells: dict[str, dict[str, NDArray[Any]]] = {}
    for run, chosen in wanted.items():
        found = opened[run] if run in opened else _opened(run, known[mark_of[run]], chosen)
        for name in chosen:
            cells.setdefault(name, {})[run] = found[name]
    return table.assign(**{name: pd.Series(cells[name], dtype=object) for name in sorted(cells)})


def _opened(run: str, content: bytes, names: Iterable[str]) -> Arrays:
    """The arrays of these names in a run's file. Raises StoreError where it is no such file, or has not all of them."""
    try:
        with np.lib.npyio.NpzFile(io.BytesIO(content), allow_pickle=False) as file:
            found = {name: file[name] for name in sorted(names)}
        for name, array in found.items():
            if not isinstance(array, np.ndarray):  # a member that is no .npy file comes as its bytes
                raise ValueError(f"{name} is no array")
    except Exception as error:
        raise StoreError(
            f"{ARRAYS_FILE} of run {run} does not hold the arrays that its tag lists ({reason(error)}); bring the "
            f"file back, or take the run away (mlflow runs delete --run-id {run}) and run its sweep again"
        ) from error
    return found


def _text_arrays(name: str, table: pd.DataFrame) -> Arrays:
    """A table of text: each distinct text once."""
    codes, words = pd.factorize(table.to_numpy(object).ravel())
    return {
        name: codes.astype(np.int32).reshape(table.shape),
        f"{name}.words": _packed(words),
        f"{name}.names": _packed(table.columns),
    }


def _text_table(arrays: Arrays, name: str, index: pd.Index) -> pd.DataFrame:
    words = np.array([*_texts(arrays[f"{name}.words"]), np.nan], dtype=object)  # a missing text has code -1
    columns = names_index(_texts(arrays[f"{name}.names"]))
    return pd.DataFrame(words[arrays[name]], index, columns, dtype=object)


def _packed(texts: Iterable[str]) -> NDArray[np.uint8]:
    return np.frombuffer(json.dumps(list(texts)).encode(), np.uint8)


def _texts(packed: NDArray[np.uint8]) -> list[str]:
    return list(json.loads(packed.tobytes()))


def _digest(content: memoryview) -> bytes:
    return hashlib.blake2b(content, digest_size=_DIGEST_BYTES).digest()


def _replace(path: Path, *contents: bytes | memoryview) -> None:
    """Put a file of these contents in the place of ``path``, whole or not at all. Raises OSError."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(prefix=".", suffix=".part", dir=path.parent)
    try:
        with open(descriptor, "wb") as file:
            for content in contents:
                file.write(content)
        os.replace(name, path)
    except OSError:
        Path(name).unlink(missing_ok=True)
        raise
