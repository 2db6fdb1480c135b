"""One process at a time creates the tables of a store: of eight at once on an empty database seven crash in MLflow."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sweeps._ledger import LedgerError, connection_arguments, first_line, sqlite_path, without_password

KEY = int.from_bytes(b"memstudy")
"""Of PostgreSQL's advisory lock."""

LOCK_SECONDS = 300.0
"""To wait for it: longer than several processes in turn need to create all tables, each some ten seconds."""


@contextlib.contextmanager
def alone(uri: str) -> Iterator[None]:
    """No other process of this project is in this context for the same database, on whatever machine for PostgreSQL.

    Raises LedgerError where the database cannot be reached. A server needs no such thing: it alone creates its tables.
    """
    file = sqlite_path(uri)
    if file is not None:
        with _locked_folder(file.absolute().parent):
            yield
    elif uri.startswith("postgresql"):
        with _locked_database(uri):
            yield
    else:
        yield


@contextlib.contextmanager
def _locked_folder(folder: Path) -> Iterator[None]:
    """The folder itself is locked, so that no lock file stays behind."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError as error:
        raise LedgerError(
            f"tracking store's folder {folder} cannot be opened ({error}); name another"
        ) from None
    try:
        with contextlib.suppress(OSError):  # a network's file system may know no locks: then as without them
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _locked_database(uri: str) -> Iterator[None]:
    import sqlalchemy

    # No transaction stays open: creating an index would wait for its end.
    engine = sqlalchemy.create_engine(
        uri,
        poolclass=sqlalchemy.NullPool,
        isolation_level="AUTOCOMMIT",
        connect_args=connection_arguments(uri),
    )
    try:
        connection = engine.connect()
    except sqlalchemy.exc.SQLAlchemyError as error:
        raise LedgerError(
            f"tracking store {without_password(uri)} cannot be used ({first_line(error)}); mend it, or name another"
        ) from None
    with connection:  # its end frees the lock
        _wait_for_lock(connection, uri)
        yield


def _wait_for_lock(connection: Any, uri: str) -> None:
    """Raises LedgerError if another process keeps the lock, or the database fails meanwhile."""
    import sqlalchemy

    try:
        connection.execute(sqlalchemy.text(f"SET lock_timeout = {int(1000 * LOCK_SECONDS)}"))
        connection.execute(sqlalchemy.text("SELECT pg_advisory_lock(:key)"), {"key": KEY})
    except sqlalchemy.exc.SQLAlchemyError as error:
        raise LedgerError(
            f"tracking store {without_password(uri)} could not be had alone for {LOCK_SECONDS:g} s, to look for its tables "
            f"({first_line(error)}); look for another process of this project that hangs (select pid from pg_locks where "
            "locktype = 'advisory'), end it, then run again"
        ) from None
