"""A ledger made on a simulated clock is for practice, for good; a real one is never practised on."""

import math
from collections.abc import Iterator
from pathlib import Path

import pytest

from bot.errors import UsageError
from bot.ledger import Ledger, account_summary, backup, mark_practice, open_writer, restore
from bot.model import save_model
from bot.simulator import generate_candles
from tests.harness import filled, hourhand, model_of

WRITTEN_BY_0_1 = Path(__file__).parents[2] / "data" / "written_by_0_1" / "ledger.sqlite"


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    ledger = open_writer(f"sqlite:///{filled(tmp_path / 'ledger.sqlite', model_of(1))}")
    yield ledger
    ledger.close()


def mark(ledger: Ledger, *, practice: bool, now: float = math.inf) -> None:
    with ledger.writing() as connection:
        mark_practice(connection, practice, now)


@pytest.mark.parametrize("practice", [True, False])
def test_the_first_mark_stays(ledger: Ledger, practice: bool) -> None:
    with ledger.reading() as connection:
        assert account_summary(connection, "main")["practice"] is None
    mark(ledger, practice=practice)
    mark(ledger, practice=practice, now=0.0)
    with pytest.raises(UsageError, match=r"another ledger\.url"):
        mark(ledger, practice=not practice)
    with ledger.reading() as connection:
        assert account_summary(connection, "main")["practice"] is practice


def test_a_clock_before_the_newest_bar_marks_nothing(ledger: Ledger) -> None:
    with ledger.reading() as connection:
        newest = account_summary(connection, "main")["bar_time"]
    with pytest.raises(UsageError, match="newest bar"):
        mark(ledger, practice=False, now=newest - 1)
    mark(ledger, practice=True, now=newest + 3600)


@pytest.mark.parametrize("practice", [True, False])
def test_a_backup_of_the_other_kind_is_refused(ledger: Ledger, tmp_path: Path, practice: bool) -> None:
    mark(ledger, practice=practice)
    backup(f"sqlite:///{tmp_path}/ledger.sqlite", tmp_path / "copy.sqlite")
    other = open_writer(f"sqlite:///{tmp_path}/other.sqlite")
    mark(other, practice=not practice)
    other.close()
    before = (tmp_path / "other.sqlite").read_bytes()
    with pytest.raises(UsageError, match="cannot replace"):
        restore(tmp_path / "copy.sqlite", f"sqlite:///{tmp_path}/other.sqlite")
    assert (tmp_path / "other.sqlite").read_bytes() == before
    restore(WRITTEN_BY_0_1, f"sqlite:///{tmp_path}/other.sqlite")  # not known which


def test_a_replay_is_for_practice_and_run_on_the_real_clock_refuses_it(tmp_path: Path) -> None:
    save_model(model_of(1), tmp_path / "model")
    lines = [",".join(map(repr, candle[:6])) for candle in generate_candles(40, seed=5, holes=0, quiet=0)]
    (tmp_path / "candles.csv").write_text("\n".join(["t,o,h,l,c,v", *lines]))
    url, env = f"sqlite:///{tmp_path}/replay.sqlite", {"HOURHAND_POLICY__MODEL": "model"}
    replayed = hourhand("replay", "--candles", "candles.csv", "--ledger", url, "--json", cwd=tmp_path, **env)
    assert replayed.returncode == 0, replayed.stderr
    done = hourhand("run", "--once", cwd=tmp_path, HOURHAND_LEDGER__URL=url, **env)
    assert done.returncode == 2, done.stderr
    assert "for practice" in done.stderr
