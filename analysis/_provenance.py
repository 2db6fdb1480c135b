"""Where the numbers of a report come from: trials, seeds and seconds by sweep, code, devices, libraries, data."""

from __future__ import annotations

import importlib.metadata
import platform
from collections.abc import Iterable, Sequence
from itertools import groupby

import pandas as pd

from analysis import _frames
from analysis._made import Source
from memory_study._version import code_version
from memory_study.record import SCALARS, Tag

SECONDS = tuple(name for name in SCALARS if name.endswith("seconds"))
"""The measurements of what a trial cost."""
LIBRARIES = ("numpy", "pandas", "scipy", "statsmodels", "matplotlib", "sqlalchemy", "mlflow")
"""What the analysis computes, draws and reads with."""
_CODE = (Tag.CODE, Tag.DIRTY, Tag.DEVICE, Tag.PYTHON, Tag.TORCH)
_DATA = ("dataset", "dataset_digest")


def by_sweep(sources: Iterable[Source]) -> pd.DataFrame:
    """A row for each experiment and sweep: how many trials finished, how many of these diverged, how many have only
    failed, the seeds, and the sums of SECONDS that were measured at all.
    """
    rows = [_counts(source.experiment, *trials) for source in sources for trials in _sweeps(source)]
    return pd.DataFrame(rows).dropna(axis="columns", how="all")


def _sweeps(source: Source) -> Iterable[tuple[str, pd.DataFrame, pd.DataFrame]]:
    """Each sweep of an experiment, its trials and its failures; "" where there is neither."""
    trials = _frames.with_columns(source.trials, (Tag.SWEEP, "seed", "diverged", *SECONDS))
    named, lost = trials[Tag.SWEEP].fillna("unknown"), failures(source)
    for sweep in sorted({*named, *lost[Tag.SWEEP]}) or [""]:
        yield sweep, trials[named == sweep], lost[lost[Tag.SWEEP] == sweep]


def _counts(experiment: str, sweep: str, trials: pd.DataFrame, failed: pd.DataFrame) -> dict[str, object]:
    sums = {name: trials[name].sum(min_count=1) for name in SECONDS}
    return {
        "experiment": experiment, "sweep": sweep, "finished": len(trials),
        "diverged": int(trials["diverged"].fillna(0).gt(0).sum()), "failed": len(failed),
        "seeds": ranges(trials["seed"].dropna().astype(int)), **sums,
    }  # fmt: skip


def failures(source: Source) -> pd.DataFrame:
    """A row for each trial that failed and was never finished, its last error with it; "unknown" for what no tag says."""
    failed = source.failed[~source.failed[Tag.TRIAL].isin(source.trials.index)]
    return failed.drop_duplicates(Tag.TRIAL, keep="last").fillna("unknown")


def errors(sources: Iterable[Source]) -> pd.DataFrame:
    """Of how many trials each error was the last: experiment, error and trials."""
    lost = [failures(source).assign(experiment=source.experiment) for source in sources]
    return _counted(lost, ("experiment", Tag.ERROR))


def environments(sources: Iterable[Source]) -> pd.DataFrame:
    """How many trials each version of the code trained, on which device, with which Python and torch."""
    return _counted([_known(source, _CODE) for source in sources], _CODE)


def data(sources: Iterable[Source]) -> pd.DataFrame:
    """How many trials were trained on each data set, with the digest of those that are folders."""
    return _counted([_known(source, _DATA) for source in sources], _DATA)


def analysis() -> dict[str, str]:
    """By which code, interpreter and libraries the numbers were computed from what the store holds."""
    commit, dirty = code_version()
    versions = {name: importlib.metadata.version(name) for name in LIBRARIES}
    return {
        "code": f"{commit}, with changes" if dirty else commit,
        "python": platform.python_version(),
        **versions,
    }


def ranges(seeds: Iterable[int]) -> str:
    """``5: 0–3, 7`` for the seeds 0, 1, 2, 3 and 7; ``0`` for none."""
    distinct = sorted(set(seeds))
    runs = [
        [seed for _, seed in run] for _, run in groupby(enumerate(distinct), lambda pair: pair[1] - pair[0])
    ]
    texts = [f"{run[0]}–{run[-1]}" if len(run) > 1 else str(run[0]) for run in runs]
    return f"{len(distinct)}: {', '.join(texts)}" if texts else "0"


def _known(source: Source, columns: Sequence[str]) -> pd.DataFrame:
    """These columns of the trials as text, "unknown" where a trial has none."""
    found = source.trials.reindex(columns=[*map(str, columns)])
    return found.astype(object).where(found.notna(), "unknown").astype(str)


def _counted(tables: Sequence[pd.DataFrame], columns: Sequence[str]) -> pd.DataFrame:
    """How many ``trials`` share these columns, most of them first."""
    names = [*map(str, columns)]
    together = pd.concat([table.reindex(columns=names) for table in tables])
    counts = together.groupby(names, sort=True).size().rename("trials").reset_index()
    return counts.sort_values("trials", ascending=False, kind="stable", ignore_index=True)
