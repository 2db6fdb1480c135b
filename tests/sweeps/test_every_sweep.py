"""Contracts of every sweep, found by name: its header, its scales, and its smallest scale run to the end."""

from __future__ import annotations

import importlib
import pkgutil
import re
import sqlite3
from pathlib import Path

import pytest

import sweeps
from memory_study.record import SCALARS, SOMETIMES
from sweeps._cli import main
from sweeps._options import Options, Sweep, resolve
from sweeps._plan import distinct

NAMES = sorted(m.name for m in pkgutil.iter_modules(sweeps.__path__) if not m.name.startswith("_"))
SWEEPS: dict[str, Sweep] = {name: importlib.import_module(f"sweeps.{name}").SWEEP for name in NAMES}
SCALES = [(name, scale) for name in NAMES for scale in SWEEPS[name].scales]
every_sweep = pytest.mark.parametrize("name", NAMES)
every_scale = pytest.mark.parametrize(("name", "scale"), SCALES)


@every_sweep
def test_the_header_asks_a_question_and_says_command_cost_and_expectation(name: str) -> None:
    header = SWEEPS[name].header or ""
    assert header.partition("\n")[0].endswith("?")
    assert re.search(rf"^Run: +python -m sweeps\.{name} --scale ", header, re.MULTILINE)
    assert re.search(r"^Cost: .*smoke \d+ trials", header, re.MULTILINE)
    assert re.search(r"^Expect: .*\b(19|20)\d\d\b", header, re.MULTILINE), (
        "say what to expect, and by which source"
    )
    for scale in SWEEPS[name].scales:
        assert re.search(rf"(?<![\w-]){scale}(?![\w-])", header), f"the header does not mention {scale}"


@every_scale
def test_a_header_counts_the_trials_of_its_scales(name: str, scale: str) -> None:
    stated = re.search(rf"(?<![\w-]){scale} (\d+) trials", SWEEPS[name].header)
    if stated:
        assert int(stated[1]) == len(distinct(SWEEPS[name].plan(resolve(SWEEPS[name], {"scale": scale}))))


@pytest.mark.parametrize(("name", "scale"), [each for each in SCALES if SWEEPS[each[0]].rounds is None])
def test_a_plan_repeats_every_setting_with_every_seed(name: str, scale: str) -> None:
    """But for sweeps in rounds: what they train with a seed follows from what they found with that seed."""
    sweep = SWEEPS[name]
    options: Options = resolve(sweep, {"scale": scale})
    trials = distinct(sweep.plan(options))
    settings: dict[object, set[int]] = {}
    for trial in trials:
        params = {key: value for key, value in trial.params().items() if key != "seed"}
        settings.setdefault(tuple(sorted(params.items())), set()).add(trial.seed)
    assert set(map(frozenset, settings.values())) == {frozenset(options.seeds)}


@every_scale
def test_a_scale_sets_only_what_is_a_flag(name: str, scale: str) -> None:
    assert set(SWEEPS[name].scales[scale]) <= {flag.name for flag in SWEEPS[name].flags()}


@every_sweep
def test_what_a_plan_varies_is_what_its_trials_differ_in(name: str) -> None:
    sweep = SWEEPS[name]
    trials = distinct(sweep.plan(resolve(sweep, {"scale": "smoke", "seeds": (0, 1)})))
    params = [trial.params() for trial in trials]
    differing = {key for key in params[0] if len({each[key] for each in params}) > 1}
    assert differing <= {*sweep.varies, "corruption_level"}
    assert set(sweep.varies) <= differing


@every_sweep
def test_the_smallest_scale_runs_to_the_end_and_measures_all_there_is(name: str, here: Path) -> None:
    uri = f"sqlite:///{here}/mlflow.db"
    arguments = ["--scale", "smoke", "--address", "inline", "--tracking-uri", uri, "--data-dir", str(here)]
    assert main(SWEEPS[name], arguments) == 0
    planned = distinct(SWEEPS[name].plan(resolve(SWEEPS[name], {"scale": "smoke"})))
    with sqlite3.connect(here / "mlflow.db") as store:
        runs = store.execute("select status, count(*) from runs group by status").fetchall()
        scalars = {key for (key,) in store.execute("select distinct key from latest_metrics")}
    ((status, count),) = runs
    assert status == "FINISHED"
    # A sweep in rounds plans what it may train at most: a setting that it suggests twice is trained once.
    assert count == len(planned) or (SWEEPS[name].rounds is not None and count < len(planned))
    assert set(SCALARS) - SOMETIMES <= scalars
