"""Trials and curves with planted effects: what a store would give, made without one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import numpy as np
import pandas as pd

Curve = Callable[[np.ndarray], np.ndarray]
EPOCHS = np.array([1, 2, 3, 5, 8, 13, 20, 32, 50, 80, 120, 200], dtype=float)
CAP = 200.0
SHARED = {
    "dataset": "digits",
    "model": "mlp",
    "epochs": 200,
    "regularizer": "none",
    "regularizers": "",
    "diverged": 0.0,
}
LEVELS = (0.0, 0.3, 0.6, 1.0)


def cells(
    seeds: Iterable[int], levels: Iterable[float] = LEVELS, kinds: Iterable[str] = ("randX", "randY"),
    widths: Iterable[int] = (64,), sizes: Iterable[int] = (1000,),
) -> pd.DataFrame:  # fmt: skip
    """A full grid of trials, real data once for both kinds, converged after one epoch."""
    corruptions = [("none", 0.0)] if 0 in (levels := tuple(levels)) else []
    corruptions += [(kind, level) for kind in kinds for level in levels if level > 0]
    rows = [
        {
            **SHARED, "seed": seed, "corruption": kind, "corruption_level": level, "width": width,
            "train_size": size, "converged": 1.0, "convergence_epoch": 1.0,
        }
        for seed in seeds for kind, level in corruptions for width in widths for size in sizes
    ]  # fmt: skip
    return named(pd.DataFrame(rows))


def named(trials: pd.DataFrame) -> pd.DataFrame:
    """With trial ids as the index."""
    return trials.set_axis(pd.Index([f"trial{place:05d}" for place in range(len(trials))], name="trial"))


def timed(trials: pd.DataFrame, log2_epochs: np.ndarray, noise: float = 0.3, seed: int = 0) -> pd.DataFrame:
    """Convergence epochs around 2 ** ``log2_epochs``, censored at the cap."""
    drawn = 2 ** (log2_epochs + noise * np.random.default_rng(seed).normal(size=len(trials)))
    return trials.assign(converged=(drawn <= CAP).astype(float), convergence_epoch=np.clip(drawn, 1, CAP))


def slowed(
    seeds: int, by_width: float, by_size: float, by_level: Mapping[str, float], seed: int = 0
) -> pd.DataFrame:
    """Two slices, widths and sizes, whose effects on log2(epochs) change with the level by that much."""
    widths = cells(range(seeds), widths=(16, 32, 64, 128, 256), sizes=(800,))
    sizes = cells(range(seeds), widths=(128,), sizes=(100, 200, 400))
    trials = named(pd.concat([widths, sizes]))
    width, size = np.log2(trials["width"] / 256), np.log2(trials["train_size"] / 100)
    level = trials["corruption_level"]
    log2_epochs = 3 - 0.2 * width + 0.1 * size - by_width * width * level + by_size * size * level
    log2_epochs += level * trials["corruption"].map(by_level).fillna(0)
    return timed(trials, log2_epochs.to_numpy(), seed=seed)


def stepped(
    seeds: int, varied: str, slope: float, bend: float = 0.0, interaction: float = 0.0, seed: int = 0
) -> pd.DataFrame:
    """Random labels cost a jump and little more from there; about half of them are censored at the cap.

    A doubling of ``varied`` changes log2(epochs) by ``slope`` and ``bend``, alike at all levels, and by
    ``interaction`` times the level.
    """
    values = (100, 200, 400, 800, 1600)
    grid = {"widths": (128,), "sizes": (1000,)} | {{"width": "widths", "train_size": "sizes"}[varied]: values}
    trials = cells(range(seeds), levels=(0, 0.25, 0.5, 0.75, 1), kinds=("randY",), **grid)
    doublings, level = np.log2(trials[varied] / 400), trials["corruption_level"]
    log2_epochs = 5 + slope * doublings + bend * (doublings - 2 * np.sign(-slope)) ** 2
    log2_epochs += 2.35 * (level > 0) + (0.1 + interaction * doublings) * level
    return timed(trials, log2_epochs.to_numpy(), noise=0.12, seed=seed)


def peaked(seeds: int, doublings: float, noise: float = 0.002, seed: int = 0) -> pd.DataFrame:
    """Best validation accuracy rises with the width up to an optimum, which grows by ``doublings`` with the level."""
    trials = cells(range(seeds), levels=(0.0, 0.2, 0.4, 0.6, 0.8, 1.0), widths=(8, 16, 32, 64, 128, 256))
    short = np.clip(4 + doublings * trials["corruption_level"] - np.log2(trials["width"]), 0, None)
    accuracy = 0.97 - 0.3 * trials["corruption_level"] - 0.02 * short
    drawn = accuracy + noise * np.random.default_rng(seed).normal(size=len(trials))
    return trials.assign(best_validation_accuracy=drawn)


def curves_of(
    trials: pd.DataFrame, metrics: Mapping[str, Callable[[pd.Series], Curve]], noise: float = 0.0, seed: int = 0
) -> pd.DataFrame:  # fmt: skip
    """Curves on :data:`EPOCHS`: for each metric, a function of the trial gives the curve."""
    generator = np.random.default_rng(seed)
    values = [
        curve(row)(EPOCHS) + noise * generator.normal(size=len(EPOCHS))
        for _, row in trials.iterrows() for curve in metrics.values()
    ]  # fmt: skip
    names = pd.MultiIndex.from_product([trials.index, [*metrics], EPOCHS.astype(int)])
    table = names.to_frame(index=False, name=["trial", "metric", "epoch"])
    return table.assign(value=np.array(values, dtype=float).ravel()).astype(
        {"trial": "category", "metric": "category", "epoch": int}
    )


def hump(epochs: np.ndarray, top: float = 20.0, width: float = 1.0) -> np.ndarray:
    """A rise and a fall over log(epoch), from about 0 to 1 and back."""
    return np.exp(-((np.log(epochs / top) / width) ** 2) / 2)


def rise(epochs: np.ndarray, half: float = 5.0) -> np.ndarray:
    """From about 0 to 1, at first fast and then slower."""
    return epochs / (epochs + half)
