"""The command line: files, lines, exit codes, and one run of figures however often it runs."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from html import unescape
from pathlib import Path

import pandas as pd
import pytest
from invented_store import EXPERIMENT, SMALL, Writer, settings

from analysis import claims, figures
from analysis.__main__ import main
from analysis._cli import Wanted
from analysis._frames import Frames
from analysis._store import Experiment, Store
from memory_study import record
from memory_study.config import TrialConfig
from memory_study.record import Tag

Write = Callable[[list[TrialConfig]], Writer]
ROOT = Path(__file__).parents[2]
OF_SWEEP = [name for name in figures.names() if figures.find(name).SWEEP == EXPERIMENT]
FILES = sorted(["claims.csv", *(f"{name}.{suffix}" for name in OF_SWEEP for suffix in ("png", "svg", "csv"))])


def test_every_figure_is_written_and_its_claim_is_judged(
    store: Writer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--tracking-uri", store.uri, "--out", str(tmp_path), "--no-log"]) == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == FILES
    output = capsys.readouterr().out
    trials = 6 * len(SMALL) + 2
    assert (
        f"9 settings of 4 regularizers (3 seeds) from {trials} trials -> {tmp_path}/regularization.png"
        in output
    )
    assert re.search(r"^C12 .* 3 seeds .*", output, re.MULTILINE)
    assert re.search(r"^C13 .* not enough data", output, re.MULTILINE)
    table = pd.read_csv(tmp_path / "claims.csv")
    assert set(table["claim"]) == set(claims.ids())
    absent = [claim for claim in claims.ids() if claims.find(claim).SWEEP != EXPERIMENT]
    assert table[table["claim"].isin(absent)]["reason"].str.startswith("no experiment").all()
    assert output.index("training_curves: ") < output.index("C12 ")
    assert len(pd.read_csv(tmp_path / "regularization.csv")) == len(SMALL) + 1


def test_running_again_logs_to_the_same_run(store_with: Write, tmp_path: Path) -> None:
    writer = store_with(settings([0], SMALL[:2]))
    experiment = writer.client.get_experiment_by_name(EXPERIMENT).experiment_id
    for _ in range(2):
        assert main(["--tracking-uri", writer.uri, "--out", str(tmp_path)]) == 0
    runs = writer.client.search_runs([experiment], filter_string=f"tags.{Tag.KIND} = 'figures'")
    assert [(run.info.run_name, run.info.status) for run in runs] == [("figures", "FINISHED")]
    assert sorted(file.path for file in writer.client.list_artifacts(runs[0].info.run_id)) == FILES
    assert len(writer.client.search_runs([experiment])) == 5


def test_an_experiment_without_trials_is_drawn_as_empty(
    store_with: Write, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--tracking-uri", store_with([]).uri, "--out", str(tmp_path), "--no-log"]) == 0
    assert "from 0 trials" in capsys.readouterr().out
    assert sorted(path.name for path in tmp_path.iterdir()) == FILES


def test_one_figure_of_another_experiment_can_be_asked_for(store_with: Write, tmp_path: Path) -> None:
    writer = store_with([])
    writer.experiment("mine")
    options = ["--tracking-uri", writer.uri, "--experiment", "mine", "--out", str(tmp_path), "--no-log"]
    assert main(["regularization", *options]) == 0
    assert sorted(path.suffix for path in tmp_path.iterdir()) == [".csv", ".png", ".svg"]


def test_a_figure_alone_is_judged_by_the_claims_that_it_shows(
    store: Writer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["regularization", "--tracking-uri", store.uri, "--out", str(tmp_path), "--no-log"]) == 0
    output = capsys.readouterr().out
    assert re.findall(r"^C\d+ ", output, re.MULTILINE) == ["C12 "]
    assert "Holm's correction for the 1 test of this table" in " ".join(output.split())
    assert not (tmp_path / "claims.csv").exists()  # it is the file of all claims


def test_the_table_of_claims_can_be_had_alone(
    store: Writer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["claims", "--tracking-uri", store.uri, "--out", str(tmp_path)]) == 0
    output = capsys.readouterr().out
    assert [path.name for path in tmp_path.iterdir()] == ["claims.csv"]
    assert list(dict.fromkeys(re.findall(r"^(C\d+) ", output, re.MULTILINE))) == ["C12", "C13"]
    assert set(re.findall(r"C\d+", output)) == set(claims.ids())
    assert "python -m sweeps.capacity" in " ".join(output.split())


def spoil(writer: Writer, name: str, how: str) -> str:
    """Make the experiment ``name``, deleted, of no sweep, or of another schema. Returns what is to be said of it."""
    schema = {"foreign": None, "newer": record.SCHEMA + 1}.get(how, record.SCHEMA)
    identifier = writer.experiment(name, schema)
    if how == "deleted":
        writer.client.delete_experiment(identifier)
        return (
            f"experiment {name!r} is deleted; bring it back with: mlflow experiments restore -x {identifier}"
        )
    no_tag, other = f"has no tag {Tag.SCHEMA}", f"holds records of schema {schema}"
    return f"experiment {name!r} {no_tag if how == 'foreign' else other}"


SPOILT = pytest.mark.parametrize("how", ["deleted", "foreign", "newer"])


@SPOILT
def test_an_experiment_that_cannot_be_read_is_left_out_and_the_others_are_drawn_and_judged(
    how: str, store_with: Write, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    writer = store_with(settings(range(2), SMALL[:2]))
    says = spoil(writer, "noise", how)
    options = ["--tracking-uri", writer.uri, "--out", str(tmp_path), "--no-log"]
    assert main(options) == 0
    output = capsys.readouterr().out
    assert re.search(rf"^left out: corrupted_labels, .*sharpness: {re.escape(says)}", output, re.MULTILINE)
    assert {path.name for path in tmp_path.iterdir()} == set(FILES)
    reasons = pd.read_csv(tmp_path / "claims.csv").set_index("claim")["reason"]
    assert reasons["C10"].startswith(says)
    assert "regularizers at the 50% cap" in reasons["C12"]
    assert reasons["C6"].startswith("no experiment 'capacity'")
    assert main(["report", *options]) == main(["claims", *options]) == 0
    assert f"noise_accuracy_csr: {says}" in unescape((tmp_path / "report.html").read_text())
    assert f"C2, C10, C11, C14, C15: {says[:60]}" in " ".join(capsys.readouterr().out.split())


@SPOILT
@pytest.mark.parametrize("asked", [["filters"], ["filters", "claims"], ["claims", "--experiment", "noise"]])
def test_an_experiment_that_was_asked_for_by_name_must_be_readable(
    how: str, asked: list[str], store_with: Write, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    writer = store_with(settings([0], SMALL[:1]))
    says = spoil(writer, "noise", how)
    assert main([*asked, "--tracking-uri", writer.uri, "--out", str(tmp_path), "--no-log"]) == 2
    assert capsys.readouterr().err.startswith(says)


@SPOILT
def test_a_figure_is_drawn_without_the_trials_of_others_that_cannot_be_read(
    how: str, store_with: Write, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    writer = store_with([])
    regularization = writer.client.get_experiment_by_name(EXPERIMENT).experiment_id
    writer.client.rename_experiment(regularization, "frontier")
    says = spoil(writer, EXPERIMENT, how)
    assert main(["frontier", "--tracking-uri", writer.uri, "--out", str(tmp_path), "--no-log"]) == 0
    assert capsys.readouterr().out.startswith(f"left out of frontier: {says}")
    assert (tmp_path / "frontier.png").exists()


def test_of_a_store_with_one_experiment_that_cannot_be_read_that_is_said(
    store_with: Write, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    writer = store_with([])
    writer.client.delete_experiment(writer.client.get_experiment_by_name(EXPERIMENT).experiment_id)
    assert main(["--tracking-uri", writer.uri, "--out", str(tmp_path), "--no-log"]) == 2
    assert "experiment 'regularization' is deleted" in capsys.readouterr().err


def test_each_experiment_is_read_once_with_all_curves_that_its_figures_and_claims_need(
    store: Writer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from analysis import __main__ as command

    read, reads = command._read, []

    def counted(store: Store, experiment: Experiment, wanted: Wanted, anew: bool) -> Frames:
        reads.append((experiment.name, wanted.curves()))
        return read(store, experiment, wanted, anew)

    monkeypatch.setattr(command, "_read", counted)
    assert main(["--tracking-uri", store.uri, "--out", str(tmp_path), "--no-log"]) == 0
    assert reads == [(EXPERIMENT, ["train_accuracy"])]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["pie"], f"figure 'pie' is not known; choose from {', '.join(figures.names())}"),
        (["pie", "bar"], "figures 'pie', 'bar' are not known; choose from"),
        (["--experiment", "nothing"], "no experiment 'nothing'"),
        (["--tracking-uri", "ftp://host"], "of no kind that can be read"),
        (["--tracking-uri", "sqlite:////nowhere.db"], "run a sweep first"),
        (["--tracking-uri", "http://127.0.0.1:9"], "does not answer"),
        (["--tracking-uri", "http://[host"], "of no kind that can be read"),
        (["--out", "/proc/figures"], "--out /proc/figures cannot be made"),
    ],
)
def test_bad_input_is_explained_in_one_line_with_exit_code_2(
    arguments: list[str], says: str, store: Writer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    defaults = ["--tracking-uri", store.uri, "--out", str(tmp_path), "--no-log"]
    assert main([*defaults, *arguments]) == 2
    error = capsys.readouterr().err
    assert says in error
    assert error.count("\n") == 1


def test_no_password_is_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--tracking-uri", "http://user:se@cret@127.0.0.1:9", "--out", str(tmp_path)]) == 2
    error = capsys.readouterr().err
    assert "http://user:***@127.0.0.1:9" in error
    assert "cret" not in error


def test_a_file_in_the_place_of_the_folder_is_refused(store: Writer, tmp_path: Path) -> None:
    (tmp_path / "figures").write_text("")
    assert main(["--tracking-uri", store.uri, "--out", str(tmp_path / "figures")]) == 2


def test_a_file_that_cannot_be_written_is_named(
    store: Writer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "regularization.svg").mkdir()
    assert main(["--tracking-uri", store.uri, "--out", str(tmp_path), "--no-log"]) == 2
    assert "regularization.svg cannot be written (Is a directory)" in capsys.readouterr().err


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no device that is always full")
def test_a_full_disk_is_named_by_the_folder_that_is_on_it(
    store_with: Write, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "claims.csv").symlink_to("/dev/full")
    options = ["--tracking-uri", store_with([]).uri, "--out", str(tmp_path), "--no-log"]
    assert main(["claims", *options]) == 2
    expected = f"{tmp_path} cannot be written (No space left on device); choose another folder with --out\n"
    assert capsys.readouterr().err == expected


def test_figures_that_cannot_be_logged_are_still_written(
    store_with: Write, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    writer = store_with([])
    writer.artifacts.write_text("a file where the artifacts should go")
    assert main(["--tracking-uri", writer.uri, "--out", str(tmp_path / "out")]) == 2
    assert "leave that out with --no-log" in capsys.readouterr().err
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == FILES


def test_a_reader_that_goes_away_ends_the_command_quietly(
    store: Writer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from analysis import __main__ as command

    def closed(*_: object) -> None:
        raise BrokenPipeError(32, "Broken pipe")

    monkeypatch.setattr(command, "_draw", closed)
    monkeypatch.setattr(os, "dup2", lambda source, target: None)  # the tests' own output goes on
    assert main(["--tracking-uri", store.uri, "--out", str(tmp_path), "--no-log"]) == 1
    assert capsys.readouterr().err == ""


@pytest.mark.slow
def test_help_is_quick_and_lists_the_figures_with_their_questions() -> None:
    start = time.monotonic()
    result = subprocess.run(
        [sys.executable, "-m", "analysis", "--help"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert time.monotonic() - start < 0.5
    for name in figures.names():
        assert f"{name} " in result.stdout
        assert figures.question(name) in result.stdout


@pytest.mark.slow
def test_the_store_of_the_environment_is_the_default(store: Writer, tmp_path: Path) -> None:
    environment = {**os.environ, "MLFLOW_TRACKING_URI": store.uri}
    command = [sys.executable, "-m", "analysis", "training_curves", "--no-log", "--out", str(tmp_path)]
    result = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    assert result.stdout.startswith("training_curves: ")
    assert result.stderr == ""
