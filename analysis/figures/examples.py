"""Are some examples harder than others, in real data and in noise? (Arpit et al. 2017, figure 1)

Left: of each measured training example, the share of nets that have it wrong after training, a net for each seed; sorted,
a line for each kind of data. Grey: what chance alone gives if every example is wrong with the same probability, the
mean over random inputs: binomial counts of as many nets, sorted, 1,000 draws of all examples, mean and 95 % of the draws
at each place. Right: the real examples that most and that fewest nets have wrong, with their label and that share; of
equals the first in the training set. Images are those that the trial with seed 0 kept. A diverged trial counts as no
net; data without any other are named, not drawn.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure

from analysis import _blocks, _examples, _frames, _levels, _pictures, _style
from analysis._examples import KINDS, Answers
from analysis._statistics import named_generator

SWEEP = "examples"
COLUMNS = _examples.COLUMNS
CURVES: tuple[str, ...] = ()
CLAIMS = ("C1",)
CHANCE = "chance"
"""What the reference is called in the column ``kind``."""
DRAWS = 1000
SHOWN = 6
"""Images at either end."""
_TITLE = "Share of nets that have a training example wrong"
_COLUMNS = [
    "panel",
    "kind",
    "place",
    "rate",
    "rate_low",
    "rate_high",
    "seeds",
    "diverged",
    "example",
    "label",
    "image",
]


def tabulate(trials: pd.DataFrame, curves: pd.DataFrame) -> pd.DataFrame:
    """One row per panel, kind of data ("none" is real, "chance" the reference) and place, the easiest first, from 1.

    ``rate``: share of nets that are wrong, of ``seeds`` (with the interval of the draws where it is chance). ``example``:
    its place in the training set; ``label`` and ``image`` (JSON: grey or RGB, 0 to 255) of the real ones that are drawn.
    A kind of data without any sound trial has one row, with no place.
    """
    rows = [row for panel, kinds in _examples.by_panel(trials) for row in _rows(panel, kinds)]
    return pd.DataFrame(rows, columns=_COLUMNS).astype(
        {"place": "Int64", "example": "Int64", "label": "Int64"}
    )


def _rows(panel: str, kinds: dict[str, Answers]) -> Iterator[dict[str, object]]:
    for kind, answers in kinds.items():
        counts = {"panel": panel, "kind": kind, "seeds": len(answers.seeds), "diverged": answers.diverged}
        if not answers.seeds:
            yield counts
            continue
        order = np.argsort(answers.rates, kind="stable")
        for place, example in enumerate(order):
            drawn = kind == "none" and not SHOWN <= place < len(order) - SHOWN
            more = _example(answers, int(example)) if drawn else {}
            yield counts | {"place": place + 1, "rate": answers.rates[example], "example": example} | more
    if "randX" in kinds and kinds["randX"].seeds:
        yield from _chance(panel, kinds["randX"])


def _example(answers: Answers, example: int) -> dict[str, object]:
    """Label and image of one example, as far as they were kept."""
    found: dict[str, object] = {}
    if answers.labels is not None:
        found["label"] = answers.labels[example]
    if answers.images is not None:
        found["image"] = _pictures.to_text(answers.images[example])
    return found


def _chance(panel: str, noise: Answers) -> Iterator[dict[str, object]]:
    """Sorted rates of examples that are all wrong as often as those of ``noise`` are on average."""
    seeds, examples = noise.wrong.shape
    generator = named_generator(f"{SWEEP} binomial reference")
    counts = generator.binomial(seeds, noise.wrong.mean(), size=(DRAWS, examples))
    rates = np.sort(counts, axis=1) / seeds
    low, high = np.quantile(rates, [0.025, 0.975], axis=0)
    for place, values in enumerate(zip(rates.mean(axis=0), low, high, strict=True), 1):
        named = dict(zip(("rate", "rate_low", "rate_high"), map(float, values), strict=True))
        yield {"panel": panel, "kind": CHANCE, "place": place, "seeds": seeds, "diverged": 0} | named


def describe(table: pd.DataFrame) -> str:
    """How many examples are drawn, with how many seeds."""
    drawn = table.dropna(subset=["rate"])
    most = int(drawn["place"].max()) if len(drawn) else 0
    return f"{_frames.counted(most, 'example')} drawn, of {_kinds_in_words(drawn)} ({_seeds(drawn)})"


def _kinds_in_words(drawn: pd.DataFrame) -> str:
    return ", ".join(name for kind, name in KINDS.items() if (drawn["kind"] == kind).any()) or "nothing"


def _seeds(rows: pd.DataFrame) -> str:
    return _frames.seed_range(rows["seeds"]).partition(",")[0]


def draw(table: pd.DataFrame) -> Figure:
    """A block for each panel: the sorted rates, and the examples at both ends."""
    drawn = table.dropna(subset=["rate"])
    if drawn.empty:
        return _style.nothing_to_draw(
            _TITLE, "No sound, finished trials that kept which examples they have right.",
            f"python -m sweeps.{SWEEP}",
        )  # fmt: skip
    figure, blocks = _blocks.blocks(dict.fromkeys(drawn["panel"], 3.9))
    for panel, part in blocks:
        rows, everything = drawn[drawn["panel"] == panel], table[table["panel"] == panel]
        _blocks.heading(part, f"{panel} · {_seeds(rows)}, 95 % intervals of chance", _lost(everything))
        left, right = part.subfigures(1, 2, squeeze=False, width_ratios=(1.15, 1))[0]
        _draw_rates(left.subplots(), rows)
        _draw_ends(right, rows[rows["image"].notna()])
    handles = [_levels.handle(_levels.OF_KIND[kind], name) for kind, name in KINDS.items()]
    chance = _levels.handle((_style.FAINT, ""), "chance alone (binomial)")
    _blocks.legend_below(figure, [*handles, chance], "training data")
    return figure


def _lost(everything: pd.DataFrame) -> list[str]:
    """Which data are not drawn, and how many diverged trials count as no net."""
    once = everything.drop_duplicates("kind")
    lost = once[once["diverged"] > 0]
    text = ", ".join(f"{row['diverged']} on {KINDS[row['kind']]}" for _, row in lost.iterrows())
    empty = [KINDS[kind] for kind in once.loc[once["seeds"] == 0, "kind"]]
    return [f"Diverged trials, left out: {text}"] * bool(text) + _blocks.not_drawn(empty) * bool(empty)


def _draw_rates(axes: Axes, rows: pd.DataFrame) -> None:
    for kind in (CHANCE, *KINDS):
        line = rows[rows["kind"] == kind].sort_values("place")
        places, rate = line["place"].to_numpy(dtype=float), line["rate"].to_numpy(dtype=float)
        if kind == CHANCE:
            ends = [line[f"rate_{end}"].to_numpy(dtype=float) for end in ("low", "high")]
            _style.curve(axes, [places, rate, *ends], _style.FAINT, linewidth=1.0)
        elif len(line):
            colour, marker = _levels.OF_KIND[kind]
            axes.plot(places, rate, color=colour, linewidth=1.5, markevery=0.12, **_levels.marked(marker))
    axes.set_xlabel("training examples, the easiest first")
    axes.set_ylabel("nets that have it wrong (%)")
    axes.set_ylim(-0.02, 1.02)
    axes.set_xlim(left=1)
    _style.percent_axis(axes, "y")


def _draw_ends(part: SubFigure, pictured: pd.DataFrame) -> None:
    """The hardest real examples above the easiest, with their labels and rates."""
    ordered = pictured.sort_values("place")
    if ordered.empty:
        part.text(0.5, 0.5, "no images: no real trial with seed 0", ha="center", color=_style.FAINT)
        return
    columns = SHOWN // 2
    ends = {"hardest real examples": ordered[::-1][:SHOWN], "easiest real examples": ordered[:SHOWN]}
    for block, (title, rows) in zip(part.subfigures(2, 1, squeeze=False)[:, 0], ends.items(), strict=True):
        block.suptitle(title, fontsize=9.5)
        for axes, (_, row) in zip(block.subplots(2, columns).flat, rows.iterrows(), strict=False):
            label = f"{row['label']}: " if pd.notna(row["label"]) else ""
            axes.set_title(f"{label}{100 * row['rate']:.3g} %", fontsize=8, loc="center", pad=2)
            _pictures.show(axes, _pictures.from_text(row["image"]) / 255)
