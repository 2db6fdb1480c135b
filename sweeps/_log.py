"""Keep the terminal for people: what libraries print goes to a log file, at the level of file descriptors."""

from __future__ import annotations

import contextlib
import datetime
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from sweeps._flags import InputError
from sweeps._ledger import without_password


def log_file(folder: Path, sweep: str) -> Path:
    """A new log file's path: its name says which sweep started when, and in which process."""
    stamp = datetime.datetime.now().strftime("%Y%m%d-%H%M%S")
    return folder / f"{sweep}-{stamp}-{os.getpid()}.log"


@contextlib.contextmanager
def quiet(path: Path) -> Iterator[TextIO]:
    """Send all that this process and its children print to ``path``; gives a stream to the real standard
    output.

    Ray's and MLflow's processes inherit the descriptors, so replacing ``sys.stdout`` alone would not silence
    them. Raises :class:`sweeps._flags.InputError` where the file cannot be written.
    """
    with _open(path) as log:
        sys.stdout.flush()
        sys.stderr.flush()
        kept = os.dup(1), os.dup(2)
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
        try:
            with os.fdopen(os.dup(kept[0]), "w", buffering=1) as screen:
                yield screen
        finally:
            with contextlib.suppress(OSError, ValueError):  # the log's disk may be full
                sys.stdout.flush()
                sys.stderr.flush()
            for number, descriptor in enumerate(kept, start=1):
                os.dup2(descriptor, number)
                os.close(descriptor)


def _open(path: Path) -> TextIO:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        log = path.open("a", buffering=1)
        log.write(f"{without_password(' '.join(sys.argv))}\n")
    except OSError as error:
        raise InputError([f"--log-dir {path.parent} cannot be written to ({error}); name another"]) from None
    return log


def silence_ray() -> None:
    """Set Ray's and Tune's switches, before they are imported: no reports home, no files or log lines per
    task.
    """
    os.environ.update(
        RAY_USAGE_STATS_ENABLED="0",
        RAY_AIR_NEW_OUTPUT="0",
        TUNE_DISABLE_AUTO_CALLBACK_LOGGERS="1",
        TUNE_DISABLE_SIGINT_HANDLER="1",  # the command line stops a sweep itself, without Tune's grace period
        TUNE_GLOBAL_CHECKPOINT_S="1000000",  # the tracking store is the only record of what is done
    )
