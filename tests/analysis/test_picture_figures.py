"""What the figures with pictures tabulate and show: easy and hard examples, and first filters."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from invented_noise import frames_of_invented, invent_noisy, noisy, scene
from test_figures import drawn, text_of

from analysis import _pictures, figures
from analysis._frames import Frames
from memory_study.config import TrialConfig


def table_of(name: str, frames: Frames) -> pd.DataFrame:
    return figures.find(name).tabulate(frames.trials, frames.curves)


@pytest.fixture(scope="module")
def examples() -> pd.DataFrame:
    return table_of("examples", scene("examples", "many"))


def test_examples_are_sorted_by_the_share_of_nets_that_have_them_wrong(examples: pd.DataFrame) -> None:
    trials = scene("examples", "many").trials.query("corruption == 'none'")
    wrong = 1 - np.stack([*trials["train_right"]]).mean(axis=0)
    real = examples[examples["kind"] == "none"]
    assert real["rate"].is_monotonic_increasing
    assert real["rate"].tolist() == pytest.approx(wrong[real["example"].to_numpy(dtype=int)])
    assert sorted(real["example"]) == list(range(60))
    assert real["seeds"].unique().tolist() == [24]


def test_the_images_are_those_of_the_easiest_and_the_hardest_real_examples(examples: pd.DataFrame) -> None:
    (kept,) = scene("examples", "many").trials.query("corruption == 'none' and seed == 0")["train_images"]
    pictured = examples[examples["image"].notna()]
    assert set(pictured["kind"]) == {"none"}
    assert pictured["place"].tolist() == [1, 2, 3, 4, 5, 6, 55, 56, 57, 58, 59, 60]
    for _, row in pictured.iterrows():
        assert np.array_equal(_pictures.from_text(row["image"]), kept[row["example"], 0])
        assert row["label"] == row["example"] % 10


def test_random_inputs_lie_in_the_band_of_chance_and_real_data_do_not(examples: pd.DataFrame) -> None:
    by_kind = {kind: rows.set_index("place") for kind, rows in examples.groupby("kind")}
    chance = by_kind["chance"]
    inside = {
        kind: (by_kind[kind]["rate"].between(chance["rate_low"], chance["rate_high"])).mean()
        for kind in ("none", "randX")
    }
    assert inside["randX"] > 0.8
    assert inside["none"] < 0.2
    assert chance["rate"].mean() == pytest.approx(by_kind["randX"]["rate"].mean(), abs=0.01)


def test_without_random_inputs_there_is_no_reference_and_without_seed_0_no_image() -> None:
    frames = scene("examples", "many")
    rest = Frames(frames.trials.query("corruption == 'none' and seed > 0"), frames.curves)
    table = table_of("examples", rest)
    assert set(table["kind"]) == {"none"}
    with drawn("examples", rest) as figure:
        assert "no images: no real trial with seed 0" in text_of(figure)


def test_diverged_nets_are_counted_and_data_of_nothing_else_are_named() -> None:
    configs = [config for config in scene_configs() if config.corruption != "randY" or config.seed < 2]
    frames = frames_of_invented(
        invent_noisy(config, diverged=config.corruption == "randY" or config.seed == 3) for config in configs
    )
    with drawn("examples", frames) as figure:
        text = " ".join(text_of(figure).split())
    assert "Diverged trials, left out: 1 on real data, 1 on random inputs, 2 on random labels" in text
    assert "Diverged, not drawn: random labels" in text


def scene_configs() -> list[TrialConfig]:
    asked = noisy(range(5), (0.0, 1.0), measures=("training_examples",), csr_examples=0)
    return [replace(config, corruption_seed=99) for config in asked]


def test_filters_are_those_of_one_seed_at_the_highest_level_and_shares_means_over_seeds() -> None:
    frames = scene("noise", "many")
    table = table_of("filters", frames)
    assert table["kind"].tolist() == ["none", "randX", "randY", "initial"]
    assert table["level"].tolist() == [0, 0.8, 0.8, 0]
    assert set(table["seed"]) == {0}
    trials = frames.trials.query("corruption == 'randY' and corruption_level == .8")
    row = table[table["kind"] == "randY"].iloc[0]
    assert row["share"] == pytest.approx(trials["filter_low_frequency"].mean())
    assert row["initial"] == pytest.approx(trials["filter_low_frequency_initial"].mean())
    assert row["seeds"] == 3
    (own,) = trials.query("seed == 0")["filters"]
    assert _pictures.from_text(row["filters"]) == pytest.approx(np.moveaxis(own, 1, -1), rel=1e-3, abs=1e-6)


def test_filters_of_a_kind_of_data_on_which_a_trial_diverged_are_not_drawn() -> None:
    frames = frames_of_invented(
        invent_noisy(config, diverged=config.corruption == "randX" and config.seed == 1)
        for config in noisy(range(3), (0.0, 1.0))
    )
    with drawn("filters", frames) as figure:
        text = text_of(figure)
    assert "Diverged, not drawn: 100 % random inputs" in text
    assert "random labels" in text.splitlines()


def test_a_mosaic_has_every_filter_once_scaled_by_itself_with_zero_as_middle_grey() -> None:
    filters = np.zeros((3, 2, 2))
    filters[0, 0, 0], filters[1] = -4, 0.1
    picture = _pictures.mosaic(filters, 2)
    assert picture.shape == (5, 7)
    assert picture[0, 1] == 0
    assert picture[1, 1] == 0.5
    assert (picture[:2, 4:6] == 1).all()
    assert (picture[3:, 1:3] == 0.5).all()
    assert (picture[2] == 1).all()


@pytest.mark.parametrize("channels", [1, 2, 3])
def test_pictures_come_back_from_text(channels: int) -> None:
    images = np.random.default_rng(0).integers(0, 256, (2, channels, 4, 5)).astype(np.uint8)
    expected = {1: images[:, 0], 2: images.mean(axis=1).round(), 3: np.moveaxis(images, 1, -1)}[channels]
    assert np.array_equal(_pictures.from_text(_pictures.to_text(images)), expected)
