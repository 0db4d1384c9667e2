"""The clock: the machine's own, and those that start elsewhere and run faster."""

import time

import pytest

from bot.clock import Clock, read_clock, utc
from bot.errors import UsageError


def test_the_usual_clock_is_the_machines() -> None:
    for setting in (None, ""):
        clock = read_clock(setting)
        before = time.time()
        assert before <= clock.now() <= time.time()
        assert not clock.simulated
        assert clock.real(10.0) == 10.0


def test_a_clock_starts_where_it_is_told_and_runs_as_fast() -> None:
    began = time.monotonic()
    clock = read_clock("@1577836800x3600")
    assert clock.simulated
    assert clock.real(3600.0) == 1.0
    first = clock.now()
    assert 1577836800 <= first <= 1577836800 + 3600 * (time.monotonic() - began)
    source = iter([5.0, 7.5])
    clock = Clock(100.0, 4.0, 5.0, lambda: next(source))
    assert [clock.now(), clock.now()] == [100.0, 110.0]


def test_without_a_speed_it_runs_at_one() -> None:
    assert read_clock("@1577836800.5").speed == 1.0
    assert read_clock("@1577836800.5").start == 1577836800.5


def test_several_processes_share_a_clock_that_says_since_when() -> None:
    since = time.time()
    one, other = (read_clock(f"@1000x60@{since:f}") for _ in range(2))
    assert one == other
    assert one.now() >= 1000.0 - 60e-6
    assert (one.origin, one.source) == (pytest.approx(since, abs=1e-6), time.time)


@pytest.mark.parametrize(
    "text",
    ["1577836800", "@", "@now", "@-5", "@5x", "@5x0", "@5x-1", "@5x2x3", "@5 x2", "@1e9", "@nan", "@inf", "@5xnan",
     "@" + "9" * 400, "@5x" + "9" * 400, "@5@", "@5x1@later"],
)  # fmt: skip
def test_what_is_not_a_clock_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match=r"HOURHAND_CLOCK=.* is not a clock"):
        read_clock(text)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "1970-01-01T00:00:00Z"),
        (1577836800.9, "2020-01-01T00:00:00Z"),
        (1e18, "1000000000000000000"),
        (-1e15, "-1000000000000000"),
    ],
)
def test_times_are_written_in_utc(seconds: float, text: str) -> None:
    assert utc(seconds) == text
