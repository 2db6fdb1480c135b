"""The command line of the analysis: what it asks for, before anything slow is imported."""

from __future__ import annotations

import argparse
import os
from dataclasses import dataclass, field
from pathlib import Path

from analysis import claims, figures
from memory_study.record import ARRAYS

DEFAULT_URI = "sqlite:///mlflow.db"
TABLE = "claims"
"""What asks for the table of all claims; its file is ``claims.csv``."""
REPORT = "report"
"""What asks for one page of all that is drawn and judged; its file is ``report.html``."""
_DESCRIPTION = """Draw figures from a tracking store, and judge the papers' claims by what it holds.

Without a list, all figures whose experiment is there, and the table of all claims; a figure's name draws it and
judges the claims that it shows; "claims" prints the table alone; "report" writes one page of what else is asked
for, of everything by default, and logs it where MLflow's interface shows it.
"""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What to make of one experiment: figures and claims."""

    figures: list[str] = field(default_factory=list)
    claims: list[str] = field(default_factory=list)

    def curves(self) -> list[str]:
        """The metrics of which any of them needs the history: the experiment is read once for all."""
        drawn = (figures.find(name).CURVES for name in self.figures)
        judged = (claims.find(claim).CURVES for claim in self.claims)
        return sorted({key for keys in (*drawn, *judged) for key in keys})

    def arrays(self) -> list[str]:
        """The arrays among the columns that any of them needs."""
        drawn = (figures.find(name).COLUMNS for name in self.figures)
        judged = (claims.find(claim).COLUMNS for claim in self.claims)
        return sorted({column for columns in (*drawn, *judged) for column in columns if column in ARRAYS})


def parser() -> argparse.ArgumentParser:
    """The command line."""
    listing = [f"  {name:<18} {figures.question(name)}" for name in figures.names()]
    listing += ["", "claims:", *(f"  {claim:<4} {claims.statement(claim)}" for claim in claims.ids())]
    made = argparse.ArgumentParser(
        prog="python -m analysis", description=_DESCRIPTION, epilog="\n".join(["figures:", *listing]),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    made.add_argument(
        "figure", nargs="*",
        help='figures to draw, "claims" or "report" (default: all figures whose experiment is there)',
    )  # fmt: skip
    made.add_argument(
        "--tracking-uri", default=os.environ.get("MLFLOW_TRACKING_URI") or DEFAULT_URI, metavar="URI",
        help=f"tracking store (default: $MLFLOW_TRACKING_URI, else {DEFAULT_URI})",
    )  # fmt: skip
    made.add_argument(
        "--experiment", metavar="NAME", help="experiment (default: that of each figure's sweep)"
    )
    made.add_argument("--out", type=Path, default=Path("figures"), metavar="DIR", help="default: figures/")
    made.add_argument("--no-log", action="store_true", help="do not log the figures to the tracking store")
    made.add_argument("--no-cache", action="store_true", help="read the whole store anew, keep nothing of it")
    return made


def problem(options: argparse.Namespace) -> str | None:
    """What is wrong with the names or the folder, which is made if it is not there; None if nothing is."""
    known = (*figures.names(), TABLE, REPORT)
    unknown = [name for name in options.figure if name not in known]
    if unknown:
        named = ", ".join(map(repr, unknown))
        verb = "figure {} is" if len(unknown) == 1 else "figures {} are"
        return f"{verb.format(named)} not known; choose from {', '.join(known)}"
    return _unwritable(options.out)


def named_figures(options: argparse.Namespace) -> list[str]:
    """The figures asked for by name, each once."""
    return [name for name in dict.fromkeys(options.figure) if name not in (TABLE, REPORT)]


def whole_table(options: argparse.Namespace) -> bool:
    """Whether all claims are asked for, not only those that the figures show."""
    return TABLE in options.figure or not named_figures(options)


def asked_claims(options: argparse.Namespace) -> list[str]:
    """All claims, or where figures alone are asked for, those that they show; in the table's order."""
    shown = {claim for name in named_figures(options) for claim in figures.find(name).CLAIMS}
    return [claim for claim in claims.ids() if claim in shown or whole_table(options)]


def absent(sweep: str) -> str:
    """What is said of a sweep's experiment that is not in the store: the command that fills it."""
    return f"no experiment {sweep!r}; fill it with: python -m sweeps.{sweep}"


def wanted(options: argparse.Namespace) -> dict[str, Wanted]:
    """What is asked of each experiment, by its name."""
    made: dict[str, Wanted] = {}
    for name in named_figures(options) or ([] if TABLE in options.figure else figures.names()):
        made.setdefault(options.experiment or figures.find(name).SWEEP, Wanted()).figures.append(name)
    for claim in asked_claims(options):
        made.setdefault(options.experiment or claims.find(claim).SWEEP, Wanted()).claims.append(claim)
    return made


def _unwritable(out: Path) -> str | None:
    """Why files cannot be written to the folder, which is made if it is not there; None if they can."""
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        return f"--out {out} cannot be made ({error.strerror}); choose a folder that you may write to"
    if not os.access(out, os.W_OK | os.X_OK):
        return f"--out {out} is not writable; choose a folder that you may write to"
    return None
