"""Draw figures from a tracking store, and judge the papers' claims by what it holds.

Without a list, all figures whose experiment is there, and the table of all claims; a figure's name draws it and
judges the claims that it shows; "claims" prints the table alone.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from analysis import claims, figures

if TYPE_CHECKING:
    from analysis._frames import Frames
    from analysis._store import Experiment, Store
    from analysis.claims._finding import Finding

DEFAULT_URI = "sqlite:///mlflow.db"
TABLE = "claims"
"""What asks for the table of all claims; its file is ``claims.csv``."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What to make of one experiment: figures, claims, and whether it must be there."""

    figures: list[str] = field(default_factory=list)
    claims: list[str] = field(default_factory=list)

    def curves(self) -> list[str]:
        """The metrics of which any of them needs the history: the experiment is read once for all."""
        drawn = (figures.find(name).CURVES for name in self.figures)
        judged = (claims.find(claim).CURVES for claim in self.claims)
        return sorted({key for keys in (*drawn, *judged) for key in keys})


@dataclass(slots=True)
class Made:
    """Files by experiment id, and the findings of all experiments."""

    files: dict[str, list[Path]] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)


def parser() -> argparse.ArgumentParser:
    """The command line."""
    listing = [f"  {name:<18} {figures.question(name)}" for name in figures.names()]
    listing += ["", "claims:", *(f"  {claim:<4} {claims.statement(claim)}" for claim in claims.ids())]
    made = argparse.ArgumentParser(
        prog="python -m analysis", description=__doc__, epilog="\n".join(["figures:", *listing]),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    made.add_argument(
        "figure", nargs="*", help='figures to draw, or "claims" (default: all whose experiment is there)'
    )
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


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command. Returns 0, 2 for bad input, explained on stderr, or 1 if nobody reads its output any more."""
    options = parser().parse_args(arguments)
    known = (*figures.names(), TABLE)
    unknown = [name for name in options.figure if name not in known]
    if unknown:
        named = ", ".join(map(repr, unknown))
        verb = "figure {} is" if len(unknown) == 1 else "figures {} are"
        return _refuse(f"{verb.format(named)} not known; choose from {', '.join(known)}")
    if problem := _unwritable(options.out):
        return _refuse(problem)
    from analysis._store import StoreError, connect

    try:
        made = _make_all(connect(options.tracking_uri), options)
        if not options.no_log:
            _log(made, options.tracking_uri)
    except StoreError as error:
        return _refuse(str(error))
    except BrokenPipeError:
        # Whoever read our output has gone; Python would complain once more when it flushes at the end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 1
    except OSError as error:
        return _refuse(
            f"{error.filename} cannot be written ({error.strerror}); choose another folder with --out"
        )
    return 0


def _make_all(store: Store, options: argparse.Namespace) -> Made:
    """Draw the figures and judge the claims asked for, reading each experiment once."""
    made = Made()
    for experiment, wanted in _found(store, options):
        frames = _read(store, experiment, wanted.curves(), options.no_cache)
        for name in wanted.figures:
            made.files.setdefault(experiment.id, []).extend(_draw(name, frames, options.out))
        for claim in wanted.claims:
            made.findings += claims.find(claim).findings(frames.trials, frames.curves)
    made.findings += _not_tested(options, made.findings)
    whole = not options.figure or TABLE in options.figure
    table = _judge(made.findings, options.out / f"{TABLE}.csv" if whole else None)
    for files in made.files.values():
        files += table
    return made


def _read(store: Store, experiment: Experiment, curves: Sequence[str], anew: bool) -> Frames:
    from analysis._cache import default_folder, load

    return load(store, experiment, curves, None if anew else default_folder())


def _wanted(options: argparse.Namespace) -> dict[str, Wanted]:
    """What is asked of each experiment, by its name."""
    asked = dict.fromkeys(name for name in options.figure or figures.names() if name != TABLE)
    wanted: dict[str, Wanted] = {}
    for name in asked:
        of = wanted.setdefault(options.experiment or figures.find(name).SWEEP, Wanted())
        of.figures.append(name)
    for claim in _claims(options):
        of = wanted.setdefault(options.experiment or claims.find(claim).SWEEP, Wanted())
        of.claims.append(claim)
    return wanted


def _claims(options: argparse.Namespace) -> Iterable[str]:
    """All claims, or where figures alone are asked for, those that they show; in the table's order."""
    if not options.figure or TABLE in options.figure:
        return claims.ids()
    shown = {claim for name in options.figure for claim in figures.find(name).CLAIMS}
    return [claim for claim in claims.ids() if claim in shown]


def _found(store: Store, options: argparse.Namespace) -> list[tuple[Experiment, Wanted]]:
    """The experiments that are there, with what is asked of them.

    Raises StoreError where a figure that was asked for has none, or nothing at all is there. Without a list of
    figures, those whose sweep has not run yet are named and left out.
    """
    from analysis._store import MissingExperimentError, find_experiment

    found: list[tuple[Experiment, Wanted]] = []
    missing: list[MissingExperimentError] = []
    for name, wanted in _wanted(options).items():
        try:
            found.append((find_experiment(store, name), wanted))
        except MissingExperimentError as error:
            if options.experiment or (options.figure and wanted.figures):
                raise
            missing.append(error)
            if wanted.figures:
                sys.stdout.write(f"left out: {', '.join(wanted.figures)}: {error}\n")
    if not found:
        raise missing[0]
    return found


def _not_tested(options: argparse.Namespace, findings: Sequence[Finding]) -> list[Finding]:
    """A finding for each claim whose experiment is not there: what is missing, and what fills it."""
    from analysis._claims_table import absent

    tested = {finding.claim for finding in findings}
    return [absent(claim) for claim in _claims(options) if claim not in tested]


def _judge(findings: Sequence[Finding], out: Path | None) -> list[Path]:
    """Print the claims table, and write it where ``out`` is a file. Returns the files written."""
    from analysis import _claims_table
    from analysis.claims._finding import judge

    order = claims.ids()
    judged = judge(sorted(findings, key=lambda finding: order.index(finding.claim)))
    if judged:
        sys.stdout.write(f"\n{_claims_table.render(judged, _claims_table.width())}")
    if out is None:
        return []
    _claims_table.tabulate(judged).to_csv(out, index=False, lineterminator="\n")
    sys.stdout.write(f"all numbers -> {out}\n")
    return [out]


def _draw(name: str, frames: Frames, out: Path) -> list[Path]:
    """Draw one figure, write its files and say what it shows."""
    from analysis import _style

    figure = figures.find(name)
    table = figure.tabulate(frames.trials, frames.curves)
    with _style.look():
        png, svg = _style.save(figure.draw(table), out / name)
    numbers = out / f"{name}.csv"
    table.to_csv(numbers, index=False, lineterminator="\n")
    sys.stdout.write(
        f"{name}: {figure.describe(table)} from {len(frames.trials)} trials -> {png} (.svg, .csv)\n"
    )
    return [png, svg, numbers]


def _log(made: Made, uri: str) -> None:
    """Log the files to each experiment's run of figures."""
    if made.files:
        from analysis._log import log_figures

        for experiment, files in made.files.items():
            log_figures(uri, experiment, files)


def _unwritable(out: Path) -> str | None:
    """Why files cannot be written to the folder, which is made if it is not there; None if they can."""
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        return f"--out {out} cannot be made ({error.strerror}); choose a folder that you may write to"
    if not os.access(out, os.W_OK | os.X_OK):
        return f"--out {out} is not writable; choose a folder that you may write to"
    return None


def _refuse(problem: str) -> int:
    sys.stderr.write(f"{' '.join(problem.split())}\n")
    return 2


if __name__ == "__main__":
    sys.exit(main())
