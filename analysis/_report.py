"""One page of everything: claims, figures, provenance and deviations. It loads nothing, from nowhere.

What a store says (experiments, tags, errors, data sets) is text that anybody may have written: the template escapes
all of it, and the page's Content-Security-Policy lets a browser load nothing but the images in it, and apply no style
but its own. MLflow's interface shows the page in a frame of its own, without access to the interface.
"""

from __future__ import annotations

import base64
import hashlib
import math
import shlex
import struct
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path

import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from analysis import _claims_table, _frames, _provenance, claims, figures
from analysis._made import Drawing, Made
from analysis._store import hide_password
from analysis.claims._finding import Judged, Verdict
from analysis.deviations import DEVIATIONS, NOTE, Deviation
from memory_study.record import SCALARS

TITLE = "What the experiments say of memorization"
_HERE = Path(__file__).parent
_PIXEL_RATIO = 2
"""Pixels of an image to one on a common screen."""
_KINDS: Mapping[Verdict, str] = {
    "supported here": "supported",
    "not supported here": "refuted",
    "not enough data": "open",
}
_COLUMNS = ("test", "effect [95 % interval]", "n", "p (Holm)")


@dataclass(frozen=True, slots=True)
class Table:
    """Text in rows, and a ``note`` on it. ``numbers``: columns to align on the right. ``marked``: backticks mark code."""

    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    numbers: frozenset[str] = frozenset()
    marked: bool = False
    note: str = ""


def render(made: Made, uri: str, arguments: Sequence[str], now: datetime | None = None) -> str:
    """The page, as HTML. ``arguments`` are those of the command that asked for it; ``now`` is UTC."""
    environment = Environment(
        loader=FileSystemLoader(_HERE), autoescape=True, undefined=StrictUndefined, keep_trailing_newline=True
    )
    style = (_HERE / "_report.css").read_text(encoding="utf-8")
    return environment.get_template("_report.html").render(
        title=TITLE,
        style=style,
        policy=_policy(style),
        written=f"{now or datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        store=hide_password(uri),
        command=hide_password(shlex.join(["python", "-m", "analysis", *arguments])),
        summary=_summary(made.judged),
        correction=_claims_table.correction(made.judged),
        claim_columns=("verdict", "on", *_COLUMNS),
        claims=[_claim(claim, [*rows]) for claim, rows in groupby(made.judged, lambda j: j.finding.claim)],
        figures=[_figure(drawing) for drawing in made.drawings],
        left_out=made.left_out,
        provenance=[*_provenance_tables(made)],
        deviations=_deviations(),
    )


def _policy(style: str) -> str:
    """What a browser may do for this page: show images that are in it, and apply exactly this style."""
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    return (
        f"default-src 'none'; img-src data:; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    )


def _summary(judged: Sequence[Judged]) -> str:
    """How many findings came out how, and on how many claims there is nothing yet."""
    seen = [j for j in judged if j.finding.panel]
    counts = Counter(j.verdict for j in seen)
    verdicts = ", ".join(f"{counts[verdict]} {verdict}" for verdict in _KINDS if counts[verdict])
    on = {j.finding.claim for j in seen}
    absent = {j.finding.claim for j in judged} - on
    number, claims_seen = _frames.counted(len(seen), "finding"), _frames.counted(len(on), "claim")
    found = f"{number} on {claims_seen}: {verdicts}." if seen else ""
    missing = f"Nothing yet on {_frames.counted(len(absent), 'claim')}." if absent else ""
    return " ".join(filter(None, (found, missing)))


def _claim(claim: str, judged: Sequence[Judged]) -> Mapping[str, object]:
    """A claim with a row for each of its findings."""
    return {"id": claim, "says": claims.statement(claim), "rows": [_row(j) for j in judged]}


def _row(judged: Judged) -> Mapping[str, object]:
    cells = _claims_table.cells(judged)
    where = " · ".join(filter(None, (judged.finding.panel, judged.finding.part)))
    return {
        "cells": [where, *(cells[name] for name in _COLUMNS)] if judged.finding.panel else [],
        "verdict": judged.verdict,
        "kind": _KINDS[judged.verdict],
        "reason": judged.reason,
        "detail": judged.finding.detail,
    }


def _figure(drawing: Drawing) -> Mapping[str, object]:
    """A figure with its picture; what it shows is said in words too."""
    png = drawing.png.read_bytes()
    width, height = struct.unpack(">II", png[16:24])  # of the header that every PNG begins with
    shows = f"{drawing.description}, from {_frames.counted(drawing.trials, 'trial')}"
    question = figures.question(drawing.name)
    return {
        "question": question,
        "png": base64.b64encode(png).decode(),
        "alt": f"Figure {drawing.name}. {question} Shown: {shows}.",
        "width": width // _PIXEL_RATIO,
        "height": height // _PIXEL_RATIO,
        "caption": f"{drawing.name}: {shows}. Every number drawn is in {drawing.numbers.name}.",
    }


def _provenance_tables(made: Made) -> Iterator[Table]:
    sweeps = _provenance.by_sweep(made.sources)
    measured = [name for name in _provenance.SECONDS if name in sweeps]
    meaning = "; ".join(f"{_heading(name)}: {SCALARS[name]}" for name in measured)
    yield _table("Trials by sweep", sweeps, f"Diverged trials are among the finished. {meaning}.")
    if len(errors := _provenance.errors(made.sources)):
        yield _table("Trials that failed and were not finished since, by their last error", errors)
    yield _table("What trained the trials", _provenance.environments(made.sources))
    yield _table("Data", _provenance.data(made.sources))
    yield _table("What computed and drew this page", pd.DataFrame([_provenance.analysis()]))


def _table(caption: str, frame: pd.DataFrame, note: str = "") -> Table:
    """Names as they are, numbers with a comma for thousands, and tenths where small. Empty columns are left out."""
    frame = frame.loc[:, [bool(frame[name].ne("").any()) for name in frame]]
    numbers = frozenset(str(name) for name in frame if pd.api.types.is_numeric_dtype(frame[name]))
    rows = tuple(tuple(map(_text, row)) for row in frame.itertuples(index=False))
    return Table(
        caption, tuple(map(_heading, frame.columns)), rows, frozenset(map(_heading, numbers)), note=note
    )


def _heading(name: object) -> str:
    return str(name).replace("_", " ")


def _text(value: object) -> str:
    if isinstance(value, str):
        return value
    if not isinstance(value, int | float) or not math.isfinite(value):
        return ""
    return f"{value:.1f}" if isinstance(value, float) and value < 10 else f"{value:,.0f}"


def _deviations() -> Table:
    return Table("Deviations", Deviation._fields, DEVIATIONS, marked=True, note=NOTE)
