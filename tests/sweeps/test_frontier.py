"""The search for the front: what it asks, what it makes of results, and that a kill anywhere changes nothing of it."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memory_study import regularizers
from memory_study.config import ConfigError, TrialConfig
from memory_study.record import Tag
from sweeps import _rounds, _space, _studies
from sweeps._batch import Outcome
from sweeps._cli import main
from sweeps._ledger import Ledger, StoreAwayError, read_ledger
from sweeps._machine import this_machine
from sweeps._options import Settings, resolve
from sweeps._results import Archive, Result
from sweeps._studies import SAMPLERS, Studied, storage
from sweeps._writers import open_writer
from sweeps.frontier import NOISE, REAL, SWEEP, Options, plan, rounds

fractions = st.floats(0, 1)
every_kind = pytest.mark.parametrize("kind", regularizers.kinds())
every_sampler = pytest.mark.parametrize("sampler", SAMPLERS)


@every_kind
@given(position=fractions)
def test_a_position_is_a_strength_within_the_grid(kind: str, position: float) -> None:
    strength, grid = _space.strength(kind, position), regularizers.find(kind).grid
    assert min(grid) <= strength <= max(grid)
    assert not list(regularizers.problems(kind, strength))


@every_kind
def test_the_ends_of_the_positions_are_the_ends_of_the_grid(kind: str) -> None:
    grid = regularizers.find(kind).grid
    assert (_space.strength(kind, 0), _space.strength(kind, 1)) == (min(grid), max(grid))


def test_a_grid_over_decades_is_searched_by_decades() -> None:
    assert _space.strength("weight_decay", 0.4) == pytest.approx(1e-3)
    assert _space.strength("dropout", 0.5) == pytest.approx(0.5)


def test_a_negative_position_leaves_the_kind_out() -> None:
    assert _space.setting({"weight_decay": -0.01, "dropout": 0.5, "input_noise": -2}) == (("dropout", 0.5),)


@given(st.lists(st.tuples(fractions, fractions), max_size=12))
def test_no_point_beats_one_of_the_front_and_each_other_is_beaten_or_equal(
    points: list[tuple[float, float]],
) -> None:
    chosen = [points[place] for place in _space.front(points)]

    def beaten(point: tuple[float, float], by: Iterable[tuple[float, float]]) -> bool:
        return any(x <= point[0] and y >= point[1] and (x, y) != point for x, y in by)

    assert not any(beaten(point, points) for point in chosen)
    assert all(beaten(point, chosen) or point in chosen for point in points)
    assert len(set(chosen)) == len(chosen)


@given(st.lists(st.integers(), unique=True, max_size=30), st.integers(1, 12))
def test_places_are_spread_over_the_front_with_both_ends(places: list[int], most: int) -> None:
    chosen = _space.spread(places, most)
    assert len(chosen) == len(set(chosen)) == min(len(places), most)
    assert [place for place in places if place in chosen] == chosen
    if most > 1:
        assert chosen[:1] + chosen[-1:] == places[:1] + places[-1:]


def asked(
    uri: str, sampler: str, seed: int = 0, pieces: Sequence[int] = (3, 6, 9)
) -> list[Mapping[str, float]]:
    """What a study asks in batches of three, when it is opened anew to ask until each number of ``pieces``."""
    for until in pieces:
        with storage(uri) as kept:
            study = Studied(kept, f"{sampler} {seed} {pieces}", sampler, seed, ["dropout", "weight_decay"], 3)
            study.ask_until(until)
            if until % 3 == 0:
                for each in (s for s in study.suggestions(until - 3, 3) if s.open):
                    study.tell(each.number, [each.positions["dropout"], each.positions["weight_decay"] ** 2])
    with storage(uri) as kept:
        study = Studied(kept, f"{sampler} {seed} {pieces}", sampler, seed, ["dropout", "weight_decay"], 3)
        return [each.positions for each in study.suggestions()]


@every_sampler
def test_what_is_asked_does_not_depend_on_where_asking_was_interrupted(sampler: str, tmp_path: Path) -> None:
    uri = f"sqlite:///{tmp_path}/studies.db"
    assert asked(uri, sampler) == asked(uri, sampler, pieces=(1, 2, 3, 5, 6, 7, 9))
    assert asked(uri, sampler) != asked(uri, sampler, seed=1)


def test_samplers_of_one_seed_begin_alike_and_then_learn(tmp_path: Path) -> None:
    first, second, third = (asked(f"sqlite:///{tmp_path}/studies.db", sampler) for sampler in SAMPLERS)
    assert first[:3] == second[:3] == third[:3]
    assert len({str(each[3:]) for each in (first, second, third)}) == 3


@pytest.fixture
def uri(tmp_path: Path, empty_store: Path) -> str:
    shutil.copy(empty_store, tmp_path)
    return f"sqlite:///{tmp_path}/mlflow.db"


def test_studies_and_runs_share_a_database_whose_version_stays_mlflows(
    uri: str, tmp_path: Path, outcome: Callable[..., Outcome]
) -> None:
    def version() -> list[tuple[str]]:
        with sqlite3.connect(tmp_path / "mlflow.db") as connection:
            return connection.execute("select version_num from alembic_version").fetchall()

    open_writer(uri, "x")
    before = version()
    assert len(asked(uri, "tpe")) == 9
    assert version() == before
    open_writer(uri, "x").write([outcome(TrialConfig())])
    assert set(read_ledger(uri, "x").entries) == {TrialConfig().id}
    assert len(asked(uri, "tpe")) == 9


def test_beside_a_server_studies_are_kept_in_the_folder_of_the_command(here: Path) -> None:
    with storage("http://127.0.0.1:9") as kept:
        Studied(kept, "x", "tpe", 0, ["dropout"], 2).ask_until(2)
    assert (here / "optuna.db").exists()


class Trained(Archive):
    """Trains at once whatever it is asked for, to results that follow from the config. ``spoiled`` fail or diverge."""

    def __init__(self, uri: str, spoiled: Mapping[str, str] | None = None) -> None:
        super().__init__(uri, "frontier")
        self.trained: Counter[str] = Counter()
        self.words: dict[str, frozenset[str]] = {}
        self._configs: dict[str, TrialConfig] = {}
        self._spoiled = spoiled or {}

    def train(self, trials: Iterable[TrialConfig]) -> None:
        for config in {trial.id: trial for trial in trials}.values():
            if config.id not in self._configs:
                self.trained[config.id] += 1
                self._configs[config.id] = config

    def results(self, metrics: Sequence[str]) -> Mapping[str, Result]:
        return {trial: self._result(config) for trial, config in self._configs.items()}

    def _result(self, config: TrialConfig) -> Result:
        how = self._spoiled.get(" + ".join(kind for kind, _ in config.regularizers), "")
        push = sum(strength for _, strength in config.regularizers)
        metrics = {
            NOISE: 1 / (1 + push),
            REAL: 0.9 - (push - 0.3) ** 2 / 9,
            "diverged": float(how == "diverge"),
        }
        return Result(
            "FAILED" if how == "fail" else "FINISHED",
            config.id,
            metrics,
            self.words.get(config.id, frozenset()),
        )

    def _tag(self, suggested: Mapping[str, Iterable[str]]) -> None:
        self.words |= {run: frozenset(words) for run, words in suggested.items()}


def options(**given: object) -> Options:
    made = resolve(SWEEP, {"scale": "smoke", "batch": 2, "suggestions": 6, **given})
    assert isinstance(made, Options)
    return made


def search(archive: Trained, **given: object) -> list[str]:
    """Search to the end; the names of the rounds."""
    names = []
    for each in rounds(options(**given), archive):
        names.append(each.name)
        archive.train(each.trials)
    return names


def told(archive: Trained) -> list[tuple[object, ...]]:
    """All that the studies know."""
    with storage(archive.uri) as kept:
        import optuna

        return [
            (each.study_name, trial.number, trial.params, trial.state, trial.values)
            for each in optuna.get_all_study_summaries(kept)
            for trial in optuna.load_study(study_name=each.study_name, storage=kept).trials
        ]


def test_a_search_asks_in_rounds_and_ends_with_its_fronts(uri: str) -> None:
    archive = Trained(uri)
    assert search(archive, seeds=(0, 1)) == [
        "round 1 of 3", "round 2 of 3", "round 3 of 3", "the fronts with fresh seeds",
    ]  # fmt: skip
    words = Counter(word for words in archive.words.values() for word in words)
    of_search = {word for word in words if "front@6" not in word}
    assert {word.partition("/")[2] for word in of_search} == {
        f"{sampler}/{seed}/{number}"
        for sampler in ("tpe", "random")
        for seed in (0, 1)
        for number in range(6)
    }
    assert {words[word] for word in of_search} == {2}  # real data and random labels
    assert len(told(archive)) == 4 * 6


class Away(Trained):
    """Is away at the calls of these numbers."""

    def __init__(self, uri: str, *away: int) -> None:
        super().__init__(uri)
        self._away = away
        self.asked = 0

    def results(self, metrics: Sequence[str]) -> Mapping[str, Result]:
        self.asked += 1
        if self.asked in self._away:
            raise StoreAwayError("gone for a while")
        return super().results(metrics)


def through_rounds(archive: Away, slept: Sequence[float]) -> Mapping[str, int]:
    """Search as a command does; how many trials each round trained. Each wait of ``slept`` must have been told."""
    given = options()
    notes: list[str] = []
    work = _rounds.Search(lambda: rounds(given, archive), lambda todo, machine: todo.train, Settings())  # type: ignore[arg-type, return-value]
    trained = {}
    for trials in work.tasks(this_machine(Settings(device="cpu")), notes.append):
        archive.train(trials)  # type: ignore[arg-type]
        trained[notes[-1].partition(":")[0]] = len(trials)
    assert sum(note == "gone for a while; trying again" for note in notes) == len(slept)
    return trained


def test_a_store_that_is_away_between_rounds_delays_a_search_and_changes_nothing(
    uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slept: list[float] = []
    monkeypatch.setattr(_rounds, "time", SimpleNamespace(monotonic=lambda: sum(slept), sleep=slept.append))
    monkeypatch.setattr(_rounds, "read_ledger", lambda *_: Ledger({}))
    undisturbed, disturbed = Away(f"sqlite:///{tmp_path}/undisturbed.db"), Away(uri, 2, 3, 4, 7)
    rounds_of = through_rounds(undisturbed, [])
    assert through_rounds(disturbed, slept) == rounds_of
    assert slept == [0.5, 1.0, 2.0, 0.5]
    assert told(disturbed) == told(undisturbed)
    assert disturbed.words == undisturbed.words
    assert set(disturbed.trained.values()) == {1}
    for_good = Away(f"sqlite:///{tmp_path}/for-good.db", *range(2, 999))
    with pytest.raises(StoreAwayError):
        through_rounds(for_good, [])
    assert sum(slept[4:]) > _rounds.PATIENCE_SECONDS


def test_a_store_that_is_away_from_the_beginning_is_told_at_once(
    uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: object) -> Ledger:
        raise StoreAwayError("gone")

    monkeypatch.setattr(_rounds, "read_ledger", away)
    monkeypatch.setattr(_rounds, "time", SimpleNamespace(monotonic=lambda: 0.0))  # it must not wait
    with pytest.raises(StoreAwayError):
        through_rounds(Away(uri), [])


def test_equal_suggestions_are_one_trial_that_serves_both(uri: str) -> None:
    archive = Trained(uri)
    search(archive)
    shared = [words for words in archive.words.values() if any(word.endswith("tpe/0/0") for word in words)]
    assert len(shared) == 2
    assert all(any(word.endswith("random/0/0") for word in words) for words in shared)


def test_a_search_that_is_killed_again_and_again_is_the_same_search(
    uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = Trained(f"sqlite:///{tmp_path}/whole.db")
    search(whole, samplers=SAMPLERS)
    lives = [0]

    def mortal(step: Callable[..., object]) -> Callable[..., object]:
        def call(*arguments: object, **named: object) -> object:
            lives[0] -= 1
            if lives[0] < 0:
                raise KeyboardInterrupt
            return step(*arguments, **named)

        return call

    for place, name in ((Studied, "tell"), (Trained, "mark"), (Trained, "train"), (_studies, "_sampler")):
        monkeypatch.setattr(place, name, mortal(getattr(place, name)))
    archive, killed = Trained(uri), 0
    while killed < 30:
        lives[0] = 9
        with contextlib.suppress(KeyboardInterrupt):
            search(archive, samplers=SAMPLERS)
            break
        killed += 1
    assert 3 <= killed < 30
    assert archive.trained == whole.trained
    assert max(archive.trained.values()) == 1
    assert archive.words == whole.words
    assert told(archive) == told(whole)


def test_more_suggestions_go_on_with_the_search(uri: str, tmp_path: Path) -> None:
    whole, archive = Trained(f"sqlite:///{tmp_path}/whole.db"), Trained(uri)
    search(whole)
    search(archive, suggestions=4)
    search(archive)
    assert told(archive) == told(whole)
    latest = {t: {w for w in words if "front@4" not in w} for t, words in archive.words.items()}
    assert {t: words for t, words in latest.items() if words} == whole.words


def test_a_front_of_more_seeds_takes_the_place_of_the_one_before(uri: str, tmp_path: Path) -> None:
    whole, archive = Trained(f"sqlite:///{tmp_path}/whole.db"), Trained(uri)
    search(whole, seeds=(0, 1))
    search(archive)
    search(archive, seeds=(0, 1))
    assert {trial: words for trial, words in archive.words.items() if words} == whole.words


def test_the_front_of_a_short_search_is_its_own_after_a_long_one(uri: str, tmp_path: Path) -> None:
    whole, archive = Trained(f"sqlite:///{tmp_path}/whole.db"), Trained(uri)
    search(whole, suggestions=4)
    search(archive)
    search(archive, suggestions=4)
    short = {t: {w for w in words if "front@4" in w} for t, words in archive.words.items()}
    expected = {t: {w for w in words if "front@4" in w} for t, words in whole.words.items()}
    assert {t: w for t, w in short.items() if w} == {t: w for t, w in expected.items() if w}


def test_trials_that_failed_are_in_their_round_again_so_that_they_are_told_of_and_can_be_retried(
    uri: str,
) -> None:
    archive = Trained(uri, {"dropout": "fail"})
    search(archive, samplers=("random",), suggestions=16)
    asked = {
        trial.id
        for each in rounds(options(samplers=("random",), suggestions=16), archive)
        for trial in each.trials
    }
    failed = {trial for trial, result in archive.results(()).items() if result.failed}
    assert failed
    assert failed <= asked


def test_lost_studies_follow_again_from_the_trials(uri: str, tmp_path: Path) -> None:
    archive = Trained(uri)
    search(archive)
    before = told(archive)
    trained = archive.trained.copy()
    archive.uri = f"sqlite:///{tmp_path}/other.db"
    search(archive)
    assert archive.trained == trained
    assert told(archive) == before


def test_trials_whose_runs_were_deleted_are_trained_again(uri: str) -> None:
    archive = Trained(uri)
    search(archive)
    words = dict(archive.words)
    again = Trained(uri)
    search(again)
    assert (again.trained, again.words) == (archive.trained, words)


def test_a_failed_suggestion_stays_failed_and_a_diverged_one_is_the_worst(uri: str) -> None:
    archive = Trained(uri, {"dropout": "fail", "dropout + weight_decay": "diverge"})
    search(archive, samplers=("random",), suggestions=16)
    by_kinds: dict[tuple[str, ...], set[object]] = {}
    for _, _, positions, state, values in told(archive):
        kinds = tuple(kind for kind, _ in _space.setting(positions))  # type: ignore[arg-type]
        by_kinds.setdefault(kinds, set()).add((state.name, tuple(values or ())))  # type: ignore[attr-defined,arg-type,call-overload]
    assert by_kinds[("dropout",)] == {("FAIL", ())}
    assert by_kinds[("dropout", "weight_decay")] == {("COMPLETE", (1.0, 0.0))}
    assert {state for state, _ in by_kinds[("weight_decay",)]} == {"COMPLETE"}  # type: ignore[misc]
    count = sum(archive.trained.values())
    search(archive, samplers=("random",), suggestions=16)
    assert sum(archive.trained.values()) == count


def test_a_trial_that_left_nothing_stops_the_search_before_it_is_told(uri: str) -> None:
    archive = Trained(uri)
    first = next(rounds(options(), archive))
    archive.train(trial for trial in first.trials if trial.id != first.trials[0].id)
    names = [each.name for each in rounds(options(), archive)]
    assert names == ["round 1 of 3"]
    assert {state.name for _, _, _, state, _ in told(archive)} == {"RUNNING"}  # type: ignore[attr-defined]


def test_another_question_is_another_search(uri: str) -> None:
    archive = Trained(uri)
    for changed in ({}, {"width": 33}, {"kinds": ("dropout",)}, {"batch": 3}, {"corruption_level": 0.5}):
        search(archive, samplers=("random",), **changed)
    assert len({name for name, *_ in told(archive)}) == 5


def test_flags_that_contradict_each_other_are_all_told() -> None:
    wrong = options(samplers=("nsga2",), batch=1, suggestions=4, corruption_level=0.0, judge_seeds=(0, 7))
    with pytest.raises(ConfigError) as told_of:
        list(plan(wrong))
    assert [problem.partition(";")[0] for problem in told_of.value.problems] == [
        "noise level 0 leaves nothing to compare",
        "--batch 1 is no generation for nsga2",
        "--judge-seeds 0 have searched: a front would be flattered",
    ]
    with pytest.raises(ConfigError, match="--labels example leaves nothing to validate on"):
        list(plan(options(labels="example", corruption_level=1.0)))
    with pytest.raises(ConfigError, match="--suggestions 5 is no multiple of --batch 2; use 6"):
        list(plan(options(suggestions=5)))


@pytest.mark.parametrize("reader", ["_from_tables", "_from_server"])
def test_an_archive_reads_what_trials_came_to_and_marks_them(
    uri: str, reader: str, outcome: Callable[..., Outcome], trials: Callable[[int], tuple[TrialConfig, ...]]
) -> None:
    done, failed, _ = trials(3)
    open_writer(uri, "x").write([outcome(done, 0.25), outcome(failed, error="ValueError: no")])
    archive = Archive(uri, "x")
    read: Callable[[Sequence[str]], Mapping[str, Result]] = getattr(archive, reader)
    found = read((NOISE, "never measured"))
    assert {trial: (each.ended, each.failed, each.metrics) for trial, each in found.items()} == {
        done.id: (True, False, {NOISE: 0.25}),
        failed.id: (True, True, {}),
    }
    archive.mark({done.id: ["a/tpe/0/1"]}, found)
    archive.mark({done.id: ["a/random/0/1", "a/tpe/0/1"]}, read(()))
    assert read(())[done.id].suggested == {"a/random/0/1", "a/tpe/0/1"}
    assert not Archive(uri, "y").results((NOISE,))


def run(here: Path, *argv: str) -> int:
    place = ["--tracking-uri", f"sqlite:///{here}/mlflow.db", "--data-dir", str(here), "--address", "inline"]
    return main(SWEEP, ["--scale", "smoke", *place, *argv])


RUNS = "select status, count(*) from runs group by status"
TAGS = f"select value, count(*) from tags where key = '{Tag.SUGGESTED}' group by value"


def test_a_search_cut_short_by_a_limit_goes_on(
    here: Path, rows: Callable[[str], Sequence[tuple[object, ...]]], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(here, "--limit", "3") == 0
    assert "the same command goes on" in capsys.readouterr().out
    assert rows(RUNS) == [("FINISHED", 3)]
    assert rows(TAGS) == []
    assert run(here) == 0
    ((_, count),) = rows(RUNS)
    assert f"{int(str(count)) - 3} trials finished (3 more were finished before)" in capsys.readouterr().out
    assert {trials for _, trials in rows(TAGS)} == {2}
    assert run(here) == 0
    assert f"0 trials finished ({count} more were finished before)" in capsys.readouterr().out


@pytest.mark.slow
def test_a_search_on_ray_that_is_killed_goes_on_and_trains_nothing_twice(
    start: Callable[..., subprocess.Popen[str]], rows: Callable[[str], Sequence[tuple[object, ...]]]
) -> None:
    command = (
        "--scale",
        "smoke",
        "--cpus",
        "1",
        "--suggestions",
        "4",
        "--epochs",
        "300",
        "--checkpoint-seconds",
        "0",
    )
    first = start(*command, sweep="frontier")
    deadline = time.monotonic() + 200
    while not asked_for_a_second_batch(rows):
        assert first.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.05)
    first.kill()
    first.communicate()
    again = start(*command, sweep="frontier")
    out, err = again.communicate(timeout=200)
    assert (again.returncode, err) == (0, ""), out
    assert "the fronts with fresh seeds" in out
    assert [status for status, _ in rows(RUNS)] == ["FINISHED"]
    assert (
        rows("select count(*), count(distinct value) from tags where key = 'trial'")[0][0] == rows(RUNS)[0][1]
    )
    assert rows("select state, count(*) from trials group by state") == [("COMPLETE", 8)]


def asked_for_a_second_batch(rows: Callable[[str], Sequence[tuple[object, ...]]]) -> bool:
    """Whether two studies have begun their second batches of two."""
    with contextlib.suppress(sqlite3.Error):  # no tables yet, or busy
        return int(str(rows("select count(*) from trials")[0][0])) > 4
    return False
