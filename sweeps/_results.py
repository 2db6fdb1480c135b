"""What the store holds of trials that have ended: numbers to decide by, between the rounds of a search."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from memory_study.record import Tag
from sweeps._ledger import RANK, Entry, is_server, merge, read_ledger, tables, trials_on_server
from sweeps._writers import REQUESTS_AT_ONCE, open_client, store_errors

_METRICS = """
select m.run_uuid, m.key, m.value from latest_metrics m join runs r on r.run_uuid = m.run_uuid
join experiments e on e.experiment_id = r.experiment_id
where e.name = :experiment and r.lifecycle_stage = 'active' and m.key = :key
"""
_TAG = """
select t.run_uuid, t.value from tags t join runs r on r.run_uuid = t.run_uuid
join experiments e on e.experiment_id = r.experiment_id
where e.name = :experiment and r.lifecycle_stage = 'active' and t.key = :key
"""


@dataclass(frozen=True, slots=True)
class Result:
    """A trial's run: its MLflow status, the latest values of metrics, and the words of its tag ``suggested``."""

    status: str
    run_id: str
    metrics: Mapping[str, float] = field(default_factory=dict)
    suggested: frozenset[str] = frozenset()

    @property
    def failed(self) -> bool:
        """Whether the trial raised."""
        return self.status == "FAILED"

    @property
    def ended(self) -> bool:
        """Whether it finished or failed; a run that was interrupted did neither."""
        return self.status in RANK


class Archive:
    """An experiment of a tracking store, as a search reads and marks it. Its methods raise LedgerError, one line."""

    def __init__(self, uri: str, experiment: str) -> None:
        self.uri = uri
        self.experiment = experiment

    def results(self, metrics: Sequence[str]) -> Mapping[str, Result]:
        """By trial id, the run that counts, with those of ``metrics`` that it has."""
        return self._from_server(metrics) if is_server(self.uri) else self._from_tables(metrics)

    def mark(
        self,
        suggested: Mapping[str, Iterable[str]],
        known: Mapping[str, Result],
        replacing: tuple[str, ...] = (),
    ) -> None:
        """Add words to the tag ``suggested`` of the runs of these trials, by trial id, unless ``known`` has them.

        Words that begin with one of ``replacing`` go from all of ``known``. A trial may be suggested again long
        after it was trained, so this is no matter of who writes its run.
        """
        words = {
            trial: {w for w in result.suggested if not w.startswith(replacing)}
            | set(suggested.get(trial, ()))
            for trial, result in known.items()
        }
        missing = {known[trial].run_id: w for trial, w in words.items() if w != known[trial].suggested}
        if missing:
            self._tag(missing)

    def _tag(self, suggested: Mapping[str, Iterable[str]]) -> None:
        """Set the tag ``suggested`` of runs, by their id."""
        with store_errors(self.uri):
            client = open_client(self.uri)
            with ThreadPoolExecutor(REQUESTS_AT_ONCE if is_server(self.uri) else 1) as pool:
                tagged = pool.map(
                    lambda run: client.set_tag(run, Tag.SUGGESTED, " ".join(sorted(suggested[run]))),
                    suggested,
                )
                list(tagged)

    def _from_tables(self, metrics: Sequence[str]) -> Mapping[str, Result]:
        entries = read_ledger(self.uri, self.experiment).entries
        values: dict[str, dict[str, float]] = {}
        words: dict[str, str] = {}
        with tables(self.uri) as read:
            if read is None:
                return {}
            for metric in metrics:
                for run, key, value in read(_METRICS, {"experiment": self.experiment, "key": metric}):
                    values.setdefault(run, {})[key] = value
            words.update(read(_TAG, {"experiment": self.experiment, "key": str(Tag.SUGGESTED)}))
        return {
            trial: _result(entry, values.get(entry.run_id, {}), words.get(entry.run_id, ""))
            for trial, entry in entries.items()
        }

    def _from_server(self, metrics: Sequence[str]) -> Mapping[str, Result]:
        rows = trials_on_server(
            self.uri,
            self.experiment,
            lambda run: (
                run.info.status,
                run.info.run_id,
                {metric: run.data.metrics[metric] for metric in metrics if metric in run.data.metrics},
                run.data.tags.get(Tag.SUGGESTED, ""),
            ),
        )
        found = {run: (values, words) for _, (_, run, values, words) in rows or ()}
        entries = merge((trial, status, run) for trial, (status, run, _, _) in rows or ())
        return {trial: _result(entry, *found[entry.run_id]) for trial, entry in entries.items()}


def _result(entry: Entry, metrics: Mapping[str, float], words: str) -> Result:
    return Result(entry.status, entry.run_id, metrics, frozenset(words.split()))
