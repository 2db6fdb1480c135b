"""Contracts of every claim, found by name; verdicts from findings; the table as text and as numbers."""

from __future__ import annotations

import ast
import io
import math
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import invented_scenes
import numpy as np
import pandas as pd
import pytest
from invented_store import Writer
from statsmodels.stats.multitest import multipletests

from analysis import _claims_table, claims, figures
from analysis._frames import Frames
from analysis.claims._finding import Finding, judge, runs_for
from memory_study import record
from memory_study.config import TrialConfig

every_claim = pytest.mark.parametrize("claim", claims.ids())
Read = Callable[[Writer], Frames]
Write = Callable[[list[TrialConfig]], Writer]


def trials_for(claim: str, frames: Frames, scene: str = "many") -> Frames:
    """Many trials of the claim's sweep."""
    sweep = claims.find(claim).SWEEP
    if sweep != "regularization":
        return invented_scenes.scene(sweep, scene)
    return Frames(frames.trials.assign(diverged=1.0), frames.curves) if scene == "all diverged" else frames


def findings(claim: str, trials: pd.DataFrame, curves: pd.DataFrame) -> list[Finding]:
    return claims.find(claim).findings(trials, curves)


def missing_of(claim: str, text: str) -> list[str]:
    """What a claim's docstring lacks of what it must declare."""
    first, _, rest = text.partition("\n")
    parts = [
        part
        for part in ("effect", "p", "interval", "smallest", "seeds")
        if not re.search(rf"\b{part}\b", rest.lower())
    ]
    says = re.fullmatch(rf"Claim {claim}: .+ \(.+\)", first) and re.fullmatch(r"C[1-9]\d*", claim)
    return (
        ["number, statement and source"] * (not says)
        + ["when"] * ("eclared before looking" not in rest)
        + parts
    )


@every_claim
def test_a_claim_says_its_source_and_declares_its_test_in_advance(claim: str) -> None:
    module = claims.find(claim)
    assert claim == module.ID
    text = ast.get_docstring(ast.parse(Path(module.__file__ or "").read_text())) or ""  # type: ignore[attr-defined]
    assert not missing_of(claim, text)
    assert module.TEST
    assert len(claims.statement(claim)) < 100


DECLARED = (
    "\n\nDeclared before looking. Effect, interval and p over seeds; the smallest that would matter: 1."
)


@pytest.mark.parametrize(
    ("claim", "text", "missing"),
    [
        ("C17", "Claim C17: wide nets are flat (Zhang et al. 2021, figure 1)" + DECLARED, []),
        ("C120", "Claim C120: an idea of our own (nobody's yet)" + DECLARED, []),
        ("C17", "Claim C17: wide nets are flat" + DECLARED, ["number, statement and source"]),
        ("C18", "Claim C17: wide nets are flat (here)" + DECLARED, ["number, statement and source"]),
        ("C017", "Claim C017: wide nets are flat (here)" + DECLARED, ["number, statement and source"]),
        ("C17", "Claim C17: wide nets are flat (here)" + DECLARED.replace("smallest", "least"), ["smallest"]),
        ("C17", "Claim C17: wide nets are flat (here)" + DECLARED.replace("before", "after"), ["when"]),
    ],
)  # fmt: skip
def test_a_claim_of_any_source_can_be_added(claim: str, text: str, missing: list[str]) -> None:
    assert missing_of(claim, text) == missing


@every_claim
def test_a_claim_names_known_curves_and_columns(claim: str) -> None:
    module = claims.find(claim)
    own = {"regularizer", "strength", *record.CURVES, *record.SCALARS, *record.ARRAYS}
    assert set(module.CURVES) <= set(record.CURVES)
    assert set(module.COLUMNS) <= own | set(TrialConfig.__dataclass_fields__)


@every_claim
def test_a_claim_of_nothing_or_one_trial_is_not_enough_data_and_says_why(
    claim: str, store_with: Write, frames_of: Read, frames: Frames
) -> None:
    nothing, many = frames_of(store_with([])), trials_for(claim, frames)
    one = Frames(many.trials.iloc[:1], many.curves[many.curves["trial"] == many.trials.index[0]])
    for few in (nothing, one):
        found = judge(findings(claim, few.trials, few.curves))
        assert found
        assert {judged.verdict for judged in found} == {"not enough data"}
        assert all(judged.finding.missing and judged.reason for judged in found)


@every_claim
@pytest.mark.parametrize("scene", ["many", "two panels", "troubled"])
def test_a_claim_judges_many_trials_alike_each_time_and_leaves_them_as_they_are(
    claim: str, scene: str, frames: Frames
) -> None:
    many = trials_for(claim, frames, scene)
    trials, curves = many.trials.copy(), many.curves.copy()
    first, again = (judge(findings(claim, many.trials, many.curves)) for _ in range(2))
    pd.testing.assert_frame_equal(_claims_table.tabulate(first), _claims_table.tabulate(again))
    pd.testing.assert_frame_equal(many.trials, trials)
    pd.testing.assert_frame_equal(many.curves, curves)
    for judged in first:
        finding = judged.finding
        assert bool(finding.missing) == math.isnan(finding.p)
        assert finding.missing or finding.low <= finding.effect <= finding.high
        assert finding.margin > 0


@every_claim
def test_a_claim_of_trials_that_all_diverged_is_not_enough_data(claim: str, frames: Frames) -> None:
    all_lost = trials_for(claim, frames, "all diverged")
    found = judge(findings(claim, all_lost.trials, all_lost.curves))
    assert {judged.verdict for judged in found} == {"not enough data"}
    assert all(judged.finding.missing and judged.reason for judged in found)


@every_claim
def test_the_order_of_the_trials_does_not_matter(claim: str, frames: Frames) -> None:
    many = trials_for(claim, frames)
    shuffled = many.trials.sample(frac=1, random_state=1), many.curves.sample(frac=1, random_state=1)
    tables = [
        _claims_table.tabulate(judge(findings(claim, *each)))
        for each in ((many.trials, many.curves), shuffled)
    ]
    pd.testing.assert_frame_equal(*tables, rtol=1e-5)


@pytest.mark.parametrize("name", figures.names())
def test_a_figure_shows_known_claims_of_its_own_sweep(name: str) -> None:
    for claim in figures.find(name).CLAIMS:
        assert claims.find(claim).SWEEP == figures.find(name).SWEEP


def test_an_unknown_claim_is_refused_with_those_there_are() -> None:
    with pytest.raises(ValueError, match=r"claim 'C99' is not known; choose from C1, C2, C3"):
        claims.find("C99")


def finding(**changes: object) -> Finding:
    """A clear finding, but for the changes."""
    clear = Finding(
        claim="C6", test="t", panel="digits", unit="points", margin=0.5, effect=2.0, low=1.0, high=3.0, p=0.001,
        n=5, more_runs=lambda alpha: 7,
    )  # fmt: skip
    return replace(clear, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "verdict", "reason"),
    [
        ({}, "supported here", ""),
        ({"p": 0.2, "low": -1.0}, "not enough data", "about 7 more runs"),
        ({"effect": -0.1, "low": -2.0, "p": 0.9, "more_runs": lambda a: None}, "not enough data",
         "no number of runs at this effect"),
        ({"effect": 0.1, "low": -0.2, "high": 0.4, "p": 0.6}, "not supported here", "surely below 0.5"),
        ({"effect": 0.3, "low": 0.2, "high": 0.4}, "not supported here", "surely below 0.5"),
        ({"effect": -2.0, "low": -3.0, "high": -1.0}, "not supported here", "surely the other way"),
        ({"against": "another is best"}, "not supported here", "another is best"),
        ({"undecided": "widths disagree", "effect": -2.0, "low": -3.0, "high": -1.0, "more_runs": lambda a: None},
         "not enough data", "widths disagree"),
        ({"undecided": "dropout is open"}, "not enough data", "dropout is open: about 7 more runs"),
        ({"missing": "1 seed", "p": math.nan}, "not enough data", "1 seed: about 7 more runs"),
        ({"high": math.inf, "effect": 0.1, "p": 0.6}, "not enough data", "about 7 more runs"),
    ],
)  # fmt: skip
def test_a_verdict_follows_from_the_finding(changes: dict[str, object], verdict: str, reason: str) -> None:
    (judged,) = judge([finding(**changes)])
    assert (judged.verdict, judged.reason) == (verdict, reason)


def test_p_is_corrected_for_all_findings_that_have_one() -> None:
    p = [0.001, 0.03, math.nan, 0.02, 0.9]
    judged = judge([finding(p=value, missing="x" if math.isnan(value) else "") for value in p])
    expected = multipletests([0.001, 0.03, 0.02, 0.9], method="holm")[1]
    np.testing.assert_allclose([j.p_holm for j in judged], np.insert(expected, 2, np.nan))
    assert [j.verdict for j in judged] == ["supported here", *["not enough data"] * 4]
    assert judge([finding(p=0.03)])[0].verdict == "supported here"


def test_the_runs_named_are_those_for_the_level_that_holm_asks_for() -> None:
    asked: list[float] = []

    def more(alpha: float) -> int:
        asked.append(round(alpha, 9))
        return 1

    def levels(*p: float) -> list[float]:
        asked.clear()
        judge([finding(p=value, more_runs=more) for value in p])
        return asked

    assert levels(0.04, 0.2) == [0.025, 0.05]
    assert levels(0.9, 0.6, 0.8) == [0.05, round(0.05 / 3, 9), 0.025]  # all corrected to 1
    assert levels(0.02, 0.022, 0.021) == [round(0.05 / 3, 9), 0.05, 0.025]  # two raised to the first's .06
    assert levels(0.02, math.nan, 0.0) == [0.05, 0.05, 0.025]


def test_further_runs_are_in_the_proportion_of_units_to_runs() -> None:
    assert runs_for(12, 5, 100) == 140
    assert runs_for(3, 5, 100) == 20  # at least one unit more
    assert runs_for(None, 5, 100) is None
    assert runs_for(3, 0, 0) is None


ROWS = [
    finding(), finding(part="randY", p=0.2, low=-1.0, detail="a long story " * 30, n=5, units="trial"),
    finding(claim="C10", p=math.nan, effect=math.nan, missing="1 seed, needs 3"), _claims_table.absent("C7"),
]  # fmt: skip


def test_the_table_fits_its_width_without_trailing_blanks_and_says_what_it_corrects_for() -> None:
    for width in (110, 150):
        text = _claims_table.render(judge(ROWS), width)
        assert max(map(len, text.splitlines())) <= width
        assert not re.search(r"[ \t]$", text, re.MULTILINE)
        assert "\x1b" not in text
        flat = " ".join(text.split())
        assert "Holm's correction for the 2 tests" in flat
        assert "supported here" in flat
    assert "No claim could be tested" in _claims_table.render(judge([ROWS[3]]))


def test_the_numbers_of_the_table_are_whole() -> None:
    judged = judge([finding(effect=1 / 3, p=0.0123456789), *ROWS])
    text = _claims_table.tabulate(judged).to_csv(index=False)
    table = pd.read_csv(io.StringIO(text), float_precision="round_trip")
    assert table["effect"][0] == 1 / 3
    assert table["p"][0] == 0.0123456789
    assert table["p_holm"].tolist()[:3] == [j.p_holm for j in judged][:3]
    assert table["says"][4] == "less capacity slows convergence more with noise than without"
    assert table["more_runs"].iloc[2] == 7


def test_claims_without_their_experiment_share_a_line_for_each_sweep() -> None:
    lines = _claims_table.render(
        judge([finding(), *map(_claims_table.absent, ("C7", "C10", "C9"))])
    ).splitlines()
    assert "C7, C9: no experiment 'capacity'; fill it with: python -m sweeps.capacity" in lines
    assert "C10: no experiment 'noise'; fill it with: python -m sweeps.noise" in lines


def test_a_claim_without_its_experiment_names_the_command_that_fills_it() -> None:
    (judged,) = judge([_claims_table.absent("C10")])
    assert judged.verdict == "not enough data"
    assert judged.reason == "no experiment 'noise'; fill it with: python -m sweeps.noise"
