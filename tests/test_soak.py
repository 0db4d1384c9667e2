"""A small soak: faults that come and go cost no bar and no difference."""

from pathlib import Path

import pytest

from tests.soak import soak


@pytest.mark.slow
def test_faults_that_pass_leave_nothing_behind(tmp_path: Path) -> None:
    result = soak(bars=300, seed=1, folder=tmp_path)
    assert result["faults"]["killed"] >= 1
    assert result["bars"] >= 300
    assert (result["bars_lost"], result["differences"], result["ended"], result["exit_code"]) == (0, 0, [], 0)
    assert result["end"]["descriptors"] <= result["start"]["descriptors"] + 4
