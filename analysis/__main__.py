"""Draw figures from a tracking store, and print what the store says about their claims."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from analysis import figures

if TYPE_CHECKING:
    from analysis._frames import Frames
    from analysis._store import Experiment, Store

DEFAULT_URI = "sqlite:///mlflow.db"


def parser() -> argparse.ArgumentParser:
    """The command line."""
    listing = "\n".join(f"  {name:<18} {figures.question(name)}" for name in figures.names())
    made = argparse.ArgumentParser(
        prog="python -m analysis", description=__doc__, epilog=f"figures:\n{listing}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    made.add_argument("figure", nargs="*", help="figures to draw (default: all whose experiment is there)")
    made.add_argument(
        "--tracking-uri", default=os.environ.get("MLFLOW_TRACKING_URI") or DEFAULT_URI, metavar="URI",
        help=f"tracking store (default: $MLFLOW_TRACKING_URI, else {DEFAULT_URI})",
    )  # fmt: skip
    made.add_argument("--experiment", metavar="NAME", help="experiment (default: the figure's own sweep)")
    made.add_argument("--out", type=Path, default=Path("figures"), metavar="DIR", help="default: figures/")
    made.add_argument("--no-log", action="store_true", help="do not log the figures to the tracking store")
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command. Returns 0, or 2 for bad input, which is explained in one line on stderr."""
    options = parser().parse_args(arguments)
    unknown = [name for name in options.figure if name not in figures.names()]
    if unknown:
        return _refuse(f"figure {unknown[0]!r} is not known; choose from {', '.join(figures.names())}")
    if problem := _unwritable(options.out):
        return _refuse(problem)
    from analysis._store import StoreError, connect

    try:
        store = connect(options.tracking_uri)
        drawn = _draw_all(store, options)
        if not options.no_log:
            from analysis._log import log_figures

            for experiment, files in drawn.items():
                log_figures(options.tracking_uri, experiment, files)
    except StoreError as error:
        return _refuse(str(error))
    except OSError as error:
        return _refuse(
            f"{error.filename} cannot be written ({error.strerror}); choose another folder with --out"
        )
    return 0


def _draw_all(store: Store, options: argparse.Namespace) -> dict[str, list[Path]]:
    """Draw the figures asked for, reading each experiment once. Returns the files by experiment id."""
    from analysis._frames import tidy

    drawn: dict[str, list[Path]] = {}
    for experiment, names in _by_experiment(store, options):
        curves = sorted({key for name in names for key in figures.find(name).CURVES})
        frames = tidy(store.rows(experiment, curves))
        drawn[experiment.id] = [file for name in names for file in _draw(name, frames, options.out)]
    return drawn


def _by_experiment(store: Store, options: argparse.Namespace) -> list[tuple[Experiment, list[str]]]:
    """The figures to draw from each experiment. Raises StoreError where one that was asked for has none.

    Without a list of figures, those whose sweep has not run yet are named and left out, if any other has.
    """
    from analysis._store import MissingExperimentError, find_experiment

    wanted: dict[str, list[str]] = {}
    for name in dict.fromkeys(options.figure or figures.names()):
        wanted.setdefault(options.experiment or figures.find(name).SWEEP, []).append(name)
    found: list[tuple[Experiment, list[str]]] = []
    missing: list[MissingExperimentError] = []
    for experiment, names in wanted.items():
        try:
            found.append((find_experiment(store, experiment), names))
        except MissingExperimentError as error:
            if options.figure or options.experiment:
                raise
            missing.append(error)
    if not found:
        raise missing[0]
    for absent in missing:
        sys.stdout.write(f"left out: {absent}\n")
    return found


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
    for line in figure.verdicts(frames.trials, frames.curves):
        sys.stdout.write(f"  {line}\n")
    return [png, svg, numbers]


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
