"""What is told where a sweep ends before its end."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from memory_study.config import TrialConfig
from sweeps import _execute
from sweeps._batch import Outcome
from sweeps._flags import InputError
from sweeps._options import Settings
from sweeps._plan import Todo
from sweeps._rounds import Planned
from sweeps._tracking import Tally
from sweeps._writers import open_writer


@pytest.mark.parametrize("finished", [0, 2])
def test_a_cluster_that_refuses_half_way_leaves_a_summary_of_what_it_did(
    finished: int, tmp_path: Path, trials: Callable[[int], tuple[TrialConfig, ...]], outcome: Callable[..., Outcome],
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    settings = Settings(tracking_uri=f"sqlite:///{tmp_path}/mlflow.db", log_dir=tmp_path, experiment="e")

    def run(*arguments: Any) -> int:
        open_writer(settings.tracking_uri, "e").write([outcome(trial) for trial in trials(finished)])
        arguments[-1].append(Tally(finished=finished))
        raise InputError(["node b has no GPU that torch can use"])

    monkeypatch.setattr(_execute, "_run", run)
    work = Planned(Todo(trials(3), 0, (), 0), lambda todo, machine: ())
    with pytest.raises(InputError, match="node b has no GPU"):
        _execute.execute("noise", work, tmp_path, settings, "python -m sweeps.noise")
    told = capsys.readouterr().out.splitlines()
    if finished:
        assert told[0].startswith("2 trials finished")
        assert told[1].startswith("1 trials are not in the store; the same command trains them")
    else:
        assert not told
