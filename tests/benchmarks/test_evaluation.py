from __future__ import annotations

import json

import pytest

from benchmarks import evaluation


@pytest.mark.slow
def test_three_ways_to_evaluate_agree_and_the_last_line_gives_their_shares(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert evaluation.main(["--quick"]) == 0
    shares = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert list(shares) == [evaluation.EVERY_EPOCH, evaluation.HARDEST_FIRST, evaluation.SCHEDULED]
    assert all(0 < share < 1 for share in shares.values())
