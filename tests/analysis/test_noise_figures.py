"""What the figures of noisy training sets tabulate and show, on trials whose answer is known."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from invented_noise import Invented, frames_of_invented, invent_noisy, noisy, scene, slices
from invented_store import Writer
from matplotlib.colors import to_rgb
from test_figures import drawn, text_of

from analysis import _blocks, _levels, _noise, figures
from analysis.__main__ import main
from analysis._frames import Frames
from memory_study.config import CORRUPTIONS, TrialConfig


def table_of(name: str, frames: Frames) -> pd.DataFrame:
    return figures.find(name).tabulate(frames.trials, frames.curves)


def only(table: pd.DataFrame, **values: object) -> pd.Series:
    """The one row with these values."""
    for name, value in values.items():
        table = table[table[name] == value]
    assert len(table) == 1
    return table.iloc[0]


def test_real_data_are_level_0_of_both_kinds() -> None:
    table = table_of("capacity", scene("capacity", "many"))
    real = table[table["level"] == 0].set_index(["kind", "width"]).drop(columns="level")
    pd.testing.assert_frame_equal(real.loc["randX"], real.loc["randY"])
    assert set(table["width"]) == {32, 128, 512}


def test_figure_5_shows_means_over_seeds_at_the_training_size_of_the_widths() -> None:
    frames = scene("capacity", "many")
    row = only(table_of("capacity", frames), kind="randY", level=0.8, width=32)
    trials = frames.trials.query("corruption == 'randY' and corruption_level == .8 and width == 32")
    assert row["train_size"] == 1000
    assert row["best_validation_accuracy_seeds"] == len(trials) == 3
    for column in ("best_validation_accuracy", "validation_accuracy"):
        mean, spread = trials[column].mean(), trials[column].std() / 3**0.5
        assert row[column] == pytest.approx(mean)
        assert row[f"{column}_high"] == pytest.approx(mean + 4.302653 * spread)


def test_nets_trained_on_nothing_but_noise_are_stated_and_not_drawn() -> None:
    frames = scene("capacity", "many")
    noisiest = frames.trials["corruption_level"] == frames.trials["corruption_level"].max()
    level = frames.trials["corruption_level"].where(~noisiest, 1.0)
    pure = Frames(frames.trials.assign(corruption_level=level), frames.curves)
    with drawn("capacity", pure) as figure:
        assert "100 % noise is not drawn: best " in text_of(figure)
    only_noise = Frames(pure.trials[noisiest], frames.curves)
    with drawn("capacity", only_noise) as figure:
        assert "is not drawn" not in text_of(figure)


def test_trials_with_regularizers_are_another_question() -> None:
    frames = scene("capacity", "many")
    dropout = frames.trials.assign(regularizer="dropout", regularizers="dropout=0.5", validation_accuracy=0.0)
    both = Frames(pd.concat([frames.trials, dropout]), frames.curves)
    pd.testing.assert_frame_equal(table_of("capacity", both), table_of("capacity", frames))


@pytest.mark.parametrize("name", ["capacity", "convergence", "noise_accuracy_csr", "corrupted_labels"])
def test_a_setting_in_which_a_trial_diverged_is_named_and_not_drawn(name: str) -> None:
    frames = scene(figures.find(name).SWEEP, "troubled")
    lost = table_of(name, frames).query("diverged > 0")
    assert set(zip(lost["kind"], lost["level"], strict=True)) == {("randY", 0.4)}
    numbers = lost.filter(regex="^(epochs|.*accuracy|csr_validation|corrupted_.*)$")
    assert numbers.shape[1]
    assert numbers.isna().all(axis=None)
    with drawn(name, frames) as figure:
        assert "Diverged, not drawn: 40 % random labels" in text_of(figure)


def timed(epochs: list[float], cap: float = 40.0) -> Frames:
    """One setting whose seeds converge at these epochs, or not before the cap."""
    trials = [invent_noisy(config) for config in noisy(range(len(epochs)), [1.0], ["randY"])]
    changed = [
        Invented(
            trial.config,
            trial.curves,
            trial.scalars | {"converged": float(epoch < cap), "convergence_epoch": min(epoch, cap)},
        )
        for trial, epoch in zip(trials, epochs, strict=True)
    ]
    return frames_of_invented(changed)


@pytest.mark.parametrize(
    ("epochs", "median", "censored", "says"),
    [
        ([10, 20, 30], 20, 0, None),
        ([10, 20, 99], 20, 1, "◐ some seeds not converged when training ended"),
        (
            [10, 99, 99],
            np.nan,
            2,
            "○↑ at least half of the seeds not converged: median not reached by epoch 40",
        ),
    ],
)
def test_figure_6_never_takes_a_censored_epoch_for_a_time(
    epochs: list[float], median: float, censored: int, says: str | None
) -> None:
    frames = timed(epochs)
    table = table_of("convergence", frames)
    assert sorted(table["varied"]) == ["train_size", "width"]
    assert table["epochs"].tolist() == pytest.approx([median] * 2, nan_ok=True)
    assert table["censored"].tolist() == [censored] * 2
    assert table["epochs_high"].tolist() == [np.inf if censored else 30] * 2
    assert table["coverage"].tolist() == [0.75] * 2
    with drawn("convergence", frames) as figure:
        text = text_of(figure)
        arrows = [note for axes in figure.axes for note in axes.texts if note.arrow_patch]
    assert len(arrows) == (2 if censored else 0)
    assert (says or "digits · mlp · 3 seeds, 75 % intervals of the median") in text
    assert ("◐" in text, "○↑" in text) == (censored == 1, censored == 2)


def test_figure_6_fixes_the_value_at_which_the_other_varies() -> None:
    configs = slices([0], (32, 128), (500, 1000), csr_examples=0)
    table = table_of("convergence", frames_of_invented(invent_noisy(config) for config in configs))
    widths, sizes = (table[table["varied"] == varied] for varied in ("width", "train_size"))
    assert (set(widths["width"]), set(widths["train_size"])) == ({32, 128}, {1000})
    assert (set(sizes["width"]), set(sizes["train_size"])) == ({128}, {500, 1000})


def test_a_trial_that_stopped_counts_with_its_last_value_until_its_setting_ends() -> None:
    early, late = (invent_noisy(config) for config in noisy([0, 1], [1.0], ["randX"]))
    early = Invented(early.config, {"train_accuracy": ((1, 0.5), (2, 1.0))}, early.scalars)
    late = Invented(late.config, {"train_accuracy": ((1, 0.3), (2, 0.4), (4, 0.8), (8, 1.0))}, late.scalars)
    table = table_of("noise_accuracy_csr", frames_of_invented([early, late]))
    assert table["epoch"].tolist() == [1, 2, 4, 8]
    assert table["train_accuracy"].tolist() == pytest.approx([0.4, 0.7, 0.9, 1.0])
    assert table["train_accuracy_seeds"].tolist() == [2] * 4
    assert table["csr_validation"].isna().all()


def test_a_line_ends_with_the_last_trial_of_its_own_setting() -> None:
    frames = scene("noise", "many")
    table = table_of("noise_accuracy_csr", frames)
    ends = table.groupby(["kind", "level"])["epoch"].max()
    longest = frames.trials.groupby(["corruption", "corruption_level"])["epochs_trained"].max()
    assert ends["randX", 0.0] == ends["randY", 0.0] == longest["none", 0.0]
    assert ends["randY", 0.8] == longest["randY", 0.8] > ends["randY", 0.0]
    assert table["epoch"].min() == 1


def test_false_labels_are_shown_of_random_labels_only_at_each_level() -> None:
    frames = scene("noise", "many")
    table = table_of("corrupted_labels", frames)
    assert set(zip(table["kind"], table["level"], strict=True)) == {("randY", 0.4), ("randY", 0.8)}
    row = only(table, level=0.4, epoch=2)
    ids = frames.trials.query("corruption == 'randY' and corruption_level == .4").index
    values = frames.curves.query("metric == 'corrupted_predicted_true' and epoch == 2").set_index("trial")
    assert row["corrupted_predicted_true"] == pytest.approx(values.loc[ids, "value"].mean())
    assert row["corrupted_predicted_true_seeds"] == len(ids) == 3


def test_a_store_from_before_false_labels_were_measured_has_nothing_to_draw_of_them() -> None:
    frames = scene("noise", "many")
    older = Frames(frames.trials, frames.curves[~frames.curves["metric"].str.startswith("corrupted_")])
    with drawn("corrupted_labels", older) as figure:
        assert "python -m sweeps.noise" in text_of(figure)


def test_figure_9_compares_real_data_with_the_noisiest_there_are() -> None:
    frames = frames_of_invented(
        invent_noisy(config)
        for config in [*noisy([0, 1], [0, 0.4, 1.0], ["randY"]), *noisy([0, 1], [0.4, 0.6], ["randX"])]
    )
    table = table_of("csr_real_vs_noise", frames)
    assert set(zip(table["kind"], table["level"], strict=True)) == {("none", 0), ("randX", 0.6), ("randY", 1)}
    assert table["csr_train_seeds"].max() == 2
    with drawn("csr_real_vs_noise", frames) as figure:
        (legend,) = figure.legends
        names = [text.get_text() for text in legend.get_texts()]
    assert names == ["real data", "random inputs (60 %)", "random labels"]


def test_a_single_seed_has_the_wilson_interval_of_its_examples() -> None:
    frames = frames_of_invented([invent_noisy(config) for config in noisy([0], [0.0])])
    table = table_of("csr_real_vs_noise", frames)
    points = frames.curves.set_index(["metric", "epoch"])["value"]
    for end in ("", "_low", "_high"):
        for ratio in ("csr_validation", "csr_train"):
            expected = [points[f"{ratio}{end}", epoch] for epoch in table["epoch"]]
            assert table[f"{ratio}{end}"].tolist() == pytest.approx(expected)
    with drawn("csr_real_vs_noise", frames) as figure:
        assert "1 seed, 95 % Wilson intervals over examples" in text_of(figure)


def test_two_seeds_have_the_interval_over_seeds() -> None:
    frames = frames_of_invented([invent_noisy(config) for config in noisy([0, 1], [0.0], csr_epochs=(2,))])
    row = only(table_of("csr_real_vs_noise", frames), epoch=2)
    values = frames.curves.query("metric == 'csr_train' and epoch == 2")["value"]
    assert row["csr_train_high"] == pytest.approx(values.mean() + 12.7062 * values.std() / 2**0.5, rel=1e-4)


def test_colours_of_levels_grow_lighter_and_are_the_same_in_every_figure() -> None:
    levels = [0.0, 0.05, 0.2, 0.4, 0.6, 0.8, 1.0]
    styles = _levels.styles(levels)
    lightness = [np.dot(to_rgb(colour), (0.2126, 0.7152, 0.0722)) for colour, _ in styles.values()]
    assert lightness == sorted(lightness)
    assert len({marker for _, marker in styles.values()}) == len(levels)
    assert _levels.styles([0.4])[0.4][0] == styles[0.4][0]


@pytest.mark.parametrize("name", ["capacity", "convergence", "noise_accuracy_csr"])
def test_the_legend_lists_levels_from_real_data_up(name: str) -> None:
    with drawn(name, scene(figures.find(name).SWEEP, "many")) as figure:
        (legend,) = figure.legends
        names = [text.get_text() for text in legend.get_texts()]
    assert names[:3] == ["real data (0 %)", "40 %", "80 %"]


def test_figures_are_drawn_from_a_store_as_from_the_trials_themselves(
    store_with: Callable[[list[TrialConfig]], Writer], tmp_path: Path
) -> None:
    writer = store_with([])
    experiment = writer.experiment("noise")
    trials = [invent_noisy(config) for config in noisy([0, 1], csr_epochs=(0, 1, 4, 16))]
    for trial in trials:
        writer.trial(experiment, trial)
    names = [name for name in figures.names() if figures.find(name).SWEEP == "noise"]
    assert main([*names, "--tracking-uri", writer.uri, "--out", str(tmp_path), "--no-log"]) == 0
    for name in names:
        written, own = pd.read_csv(tmp_path / f"{name}.csv"), table_of(name, frames_of_invented(trials))
        pd.testing.assert_frame_equal(written, own, check_dtype=False)
        assert (tmp_path / f"{name}.svg").stat().st_size > 0


def test_kinds_are_named_as_the_corruptions() -> None:
    assert set(_noise.KINDS) == set(CORRUPTIONS) - {"none"}


def test_many_diverged_settings_fill_a_few_lines_and_are_counted() -> None:
    lines = _blocks.not_drawn([f"{level} % random labels, width 128, 1000 examples" for level in range(10)])
    assert max(map(len, lines)) <= 130
    assert " ".join(lines).endswith("5 % random labels, width 128, 1000 examples; and 4 more")
    assert _blocks.not_drawn([]) == []
