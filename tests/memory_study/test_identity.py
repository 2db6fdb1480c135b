from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memory_study.identity import parse_integers, parse_strengths, to_text, trial_id

finite = st.floats(allow_nan=False, allow_infinity=False)
names = st.text("abcdefghijklmnopqrstuvwxyz_", min_size=1)
values = st.integers() | finite | st.booleans() | st.text() | st.tuples(st.integers())


@given(st.dictionaries(names, values), names, values)
def test_a_new_field_that_says_what_older_code_did_keeps_the_id(fields, name, value):
    older = {key: kept for key, kept in fields.items() if key != name}
    assert trial_id(older | {name: value}, {name: value}) == trial_id(older, {})


def test_changing_a_default_does_not_alias_two_trials():
    absent = {"padding": 0}
    by_old_default, by_new_default = trial_id({"padding": 0}, absent), trial_id({"padding": 2}, absent)
    assert by_new_default != by_old_default == trial_id({}, absent)


def test_another_meaning_of_the_same_config_is_another_trial():
    assert trial_id({"width": 8}, {}, semantics=1) != trial_id({"width": 8}, {}, semantics=2)


def test_the_order_of_fields_is_no_part_of_the_id():
    assert trial_id({"a": 1, "b": 2}, {}) == trial_id({"b": 2, "a": 1}, {})


@given(st.dictionaries(names, values), st.dictionaries(names, values))
def test_different_configs_have_different_ids(one, other):
    def typed(fields):
        return {name: (type(value), repr(value)) for name, value in fields.items()}

    assert (trial_id(one, {}) == trial_id(other, {})) == (typed(one) == typed(other))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), (("dropout", float("-inf")),)])
def test_what_is_not_finite_has_no_id(value):
    with pytest.raises(ValueError, match="not finite"):
        trial_id({"rate": value}, {})


def test_an_id_is_sixteen_hexadecimal_digits():
    assert len(trial_id({}, {})) == 16
    assert int(trial_id({}, {}), 16) >= 0


@given(st.dictionaries(names, finite))
def test_strengths_survive_the_way_through_text(strengths):
    assert parse_strengths(to_text(tuple(strengths.items()))) == strengths


@given(st.lists(st.integers()).map(tuple))
def test_epochs_survive_the_way_through_text(epochs):
    assert parse_integers(to_text(epochs)) == epochs


@given(finite)
def test_numbers_survive_the_way_through_text_exactly(number):
    assert float(to_text(number)) == number


@pytest.mark.parametrize("text", ["dropout", "dropout=", "dropout=a lot", "dropout=0.5,,"])
def test_text_that_is_no_list_of_strengths_is_refused_with_an_example(text):
    with pytest.raises(ValueError, match=r"write it as dropout=0\.5"):
        parse_strengths(text)


@pytest.mark.parametrize("text", ["1,two", "1.5", "1,"])
def test_text_that_is_no_list_of_epochs_is_refused_with_an_example(text):
    with pytest.raises(ValueError, match="write it as 1,2,4"):
        parse_integers(text)
