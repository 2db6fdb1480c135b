"""``python -m analysis``: figures, verdicts on the papers' claims, and a report. See :mod:`analysis._cli`."""

from __future__ import annotations

import argparse
import io
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from analysis import _cli, claims, figures
from analysis._made import Drawing, Made, Source

if TYPE_CHECKING:
    from analysis._frames import Frames
    from analysis._store import Experiment, Store
    from analysis.claims._finding import Finding

INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command. Returns 0, 2 for bad input, explained on stderr, 130 after Ctrl-C, 1 if nobody reads its output."""
    options = _cli.parser().parse_args(arguments)
    if problem := _cli.problem(options):
        return _refuse(problem)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal that lacks a letter shows a question mark
    try:
        return _run(options, sys.argv[1:] if arguments is None else arguments)
    except KeyboardInterrupt:
        sys.stderr.write(
            "stopped; figures that are not written yet are missing, the same command draws them\n"
        )
        return INTERRUPTED


def _run(options: argparse.Namespace, arguments: Sequence[str]) -> int:
    """See :func:`main`."""
    from analysis._store import StoreError, connect

    try:
        made = _make_all(connect(options.tracking_uri), options)
        if _cli.REPORT in options.figure:
            _write_report(made, options, arguments)
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
            f"{error.filename or options.out} cannot be written ({error.strerror}); choose another folder with --out"
        )
    return 0


def _make_all(store: Store, options: argparse.Namespace) -> Made:
    """Draw the figures and judge the claims asked for, reading each experiment once, but for those drawn beside others."""
    made = Made()
    for experiment, wanted in _found(store, options, made):
        frames = _read(store, experiment, wanted, options.no_cache)
        for name in wanted.figures:
            drawing = _draw(
                name, _with_others(store, experiment, name, frames, options.no_cache), options.out
            )
            made.drawings.append(drawing)
            made.files.setdefault(experiment.id, []).extend((drawing.png, drawing.svg, drawing.numbers))
        for claim in wanted.claims:
            made.findings += claims.find(claim).findings(frames.trials, frames.curves)
        if _cli.REPORT in options.figure:
            made.files.setdefault(experiment.id, [])
            made.sources.append(Source(experiment.name, frames.trials, store.failed(experiment)))
    made.findings += _not_tested(options, made)
    _judge(made, options.out / f"{_cli.TABLE}.csv" if _cli.whole_table(options) else None)
    return made


def _read(store: Store, experiment: Experiment, wanted: _cli.Wanted, anew: bool) -> Frames:
    from analysis._cache import default_folder, load

    return load(store, experiment, wanted.curves(), None if anew else default_folder(), wanted.arrays())


def _with_others(store: Store, experiment: Experiment, name: str, frames: Frames, anew: bool) -> Frames:
    """What a figure is drawn from: besides its own experiment, others that it draws, where they are there."""
    from analysis._frames import with_trials_of
    from analysis._store import MissingExperimentError, UnusableExperimentError, find_experiment

    for sweep in getattr(figures.find(name), "BESIDE", ()):
        try:
            other = find_experiment(store, sweep)
        except MissingExperimentError:
            continue
        except UnusableExperimentError as error:
            sys.stdout.write(f"left out of {name}: {error}\n")
            continue
        if other.id != experiment.id:
            frames = with_trials_of(frames, _read(store, other, _cli.Wanted(), anew))
    return frames


def _found(store: Store, options: argparse.Namespace, made: Made) -> list[tuple[Experiment, _cli.Wanted]]:
    """The experiments that can be read, with what is asked of them; ``made`` gets what is left out, and why.

    Raises StoreError where a figure that was asked for has none, or none at all can be read. Without a list of
    figures, those are named and left out whose sweep has not run yet, or whose experiment is deleted or not ours.
    """
    from analysis._store import MissingExperimentError, UnusableExperimentError, find_experiment

    found: list[tuple[Experiment, _cli.Wanted]] = []
    errors: list[UnusableExperimentError] = []
    for name, wanted in _cli.wanted(options).items():
        try:
            found.append((find_experiment(store, name), wanted))
        except UnusableExperimentError as error:
            if options.experiment or (wanted.figures and _cli.named_figures(options)):
                raise
            errors.append(error)
            missing = isinstance(error, MissingExperimentError)
            _leave_out(made, name, wanted, error, _cli.absent(name) if missing else str(error))
    if not found:  # of an experiment that is there, more than that another one is not
        raise min(errors, key=lambda error: isinstance(error, MissingExperimentError))
    return found


def _leave_out(made: Made, name: str, wanted: _cli.Wanted, error: Exception, reason: str) -> None:
    """Keep, and say of figures, why nothing is made of an experiment: ``reason`` in a few words, ``error`` in full."""
    made.unread[name] = reason
    made.left_out |= dict.fromkeys(wanted.figures, str(error))
    if wanted.figures:
        sys.stdout.write(f"left out: {', '.join(wanted.figures)}: {reason}\n")


def _not_tested(options: argparse.Namespace, made: Made) -> list[Finding]:
    """A finding for each claim whose experiment cannot be read: why, and what to do."""
    from analysis._claims_table import absent

    tested = {finding.claim for finding in made.findings}
    lost = [claim for claim in _cli.asked_claims(options) if claim not in tested]
    return [absent(claim, made.unread.get(claims.find(claim).SWEEP, "")) for claim in lost]


def _judge(made: Made, out: Path | None) -> None:
    """Judge the findings and print their table. Where ``out`` is a file, write it there, to be logged with figures."""
    from analysis import _claims_table
    from analysis.claims._finding import judge

    order = claims.ids()
    made.judged = judge(sorted(made.findings, key=lambda finding: order.index(finding.claim)))
    if made.judged:
        sys.stdout.write(f"\n{_claims_table.render(made.judged, _claims_table.width())}")
    if out is None:
        return
    _claims_table.tabulate(made.judged).to_csv(out, index=False, lineterminator="\n")
    sys.stdout.write(f"all numbers -> {out}\n")
    for files in made.files.values():
        files.append(out)


def _draw(name: str, frames: Frames, out: Path) -> Drawing:
    """Draw one figure, write its files and say what it shows."""
    from analysis import _style

    figure = figures.find(name)
    table = figure.tabulate(frames.trials, frames.curves)
    with _style.look():
        png, svg = _style.save(figure.draw(table), out / name)
    numbers = out / f"{name}.csv"
    table.to_csv(numbers, index=False, lineterminator="\n")
    description = figure.describe(table)
    sys.stdout.write(f"{name}: {description} from {len(frames.trials)} trials -> {png} (.svg, .csv)\n")
    return Drawing(name, description, len(frames.trials), png, svg, numbers)


def _write_report(made: Made, options: argparse.Namespace, arguments: Sequence[str]) -> None:
    """Write the report, and have it logged to each experiment that it is about."""
    from analysis import _report

    page = options.out / f"{_cli.REPORT}.html"
    page.write_text(_report.render(made, options.tracking_uri, arguments), encoding="utf-8")
    sys.stdout.write(f"report -> {page}\n")
    for files in made.files.values():
        files.append(page)


def _log(made: Made, uri: str) -> None:
    """Log the files to each experiment's run of figures."""
    if made.files:
        from analysis._log import log_figures

        for experiment, files in made.files.items():
            log_figures(uri, experiment, files)


def _refuse(problem: str) -> int:
    sys.stderr.write(f"{' '.join(problem.split())}\n")
    return 2


if __name__ == "__main__":
    sys.exit(main())
