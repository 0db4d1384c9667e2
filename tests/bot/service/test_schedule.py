"""When to wake, when to try again, when to speak of it; and waiting that can be ended."""

import threading
import time
from datetime import UTC, datetime, timedelta
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from bot.clock import Clock
from bot.errors import ExchangeError, ExchangeRefusedError
from bot.market import MAX_RETRY_WAIT, retry_wait
from bot.market.retry import REFUSALS
from bot.observers import Outage
from bot.service import Waiter
from bot.service.schedule import AfterClose, Alarm
from tests.harness import HOUR, Dial

NOW = datetime(2020, 1, 1, tzinfo=UTC)


@given(st.floats(1e6, 4e9), st.sampled_from([60, 900, 3600, 86400]), st.floats(0, 1e5), st.floats(0.1, 1e5))
def test_the_alarm_is_set_to_the_delay_after_a_close(at: float, bar: int, delay: float, speed: float) -> None:
    clock = Clock(at, speed, source=lambda: 0.0)
    following = AfterClose(clock, bar, delay).get_next_fire_time(None, NOW)
    waits = (following - NOW).total_seconds() * speed
    assert 0 < waits <= bar + 0.002 * speed
    into = (at + waits - delay) % bar
    assert min(into, bar - into) <= 0.002 * speed + 1e-3


def test_the_alarm_never_goes_back() -> None:
    later = NOW + timedelta(hours=9)
    assert AfterClose(Dial(0.0).clock, HOUR, 0.0).get_next_fire_time(later, NOW) == later


def test_the_alarm_rings() -> None:
    """A clock so fast that an hour is over in a moment."""
    rang = threading.Event()
    alarm = Alarm(Clock(0.0, 36_000.0, source=time.monotonic), 0.0, rang.set)
    alarm.ring_after(HOUR)
    assert rang.wait(60)
    alarm.end()


def test_the_wait_doubles_to_five_minutes_less_a_random_half() -> None:
    longest = [retry_wait(failures, jitter=lambda: 0.0) for failures in range(1, 12)]
    assert longest == [2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300]
    assert [retry_wait(failures, jitter=lambda: 1.0) for failures in range(1, 12)] == [wait / 2 for wait in longest]
    assert retry_wait(10**9) <= MAX_RETRY_WAIT
    assert len({retry_wait(9) for _ in range(20)}) > 10


def test_the_exchanges_own_wish_is_the_least() -> None:
    assert retry_wait(1, ExchangeError("slow down", 1234.0)) == 1234.0
    assert retry_wait(9, ExchangeError("slow down", 1.0), jitter=lambda: 0.0) == 300.0
    assert retry_wait(REFUSALS, ExchangeRefusedError("no")) == HOUR
    assert retry_wait(REFUSALS - 1, ExchangeRefusedError("no")) < 60


@given(st.lists(st.floats(0.5, 4000), min_size=1, max_size=400))
def test_an_outage_is_spoken_of_ever_less_often(steps: list[float]) -> None:
    outage = Outage()
    assert outage.over(0.0) is None
    now, said = 1e9, []
    for number, step in enumerate(steps, 1):
        detail = outage.failed(now)
        if detail is not None:
            assert detail["failures"] == number
            said.append(detail["for_seconds"])
        now += step
    assert said[0] == 0
    assert all(later >= 2 * before - 1 for before, later in pairwise(said[1:]))
    assert not said[1:] or said[1] >= HOUR - 1
    assert outage.over(now) == {"failures": len(steps), "for_seconds": round(now - 1e9)}
    assert outage.over(now) is None
    assert outage.failed(now) == {"failures": 1, "for_seconds": 0}


# ---- waiting


def test_a_wait_ends_when_it_is_woken_and_only_once() -> None:
    waiter = Waiter()
    threading.Timer(0.01, waiter.wake).start()
    waiter.wait(600)
    waiter.wake()
    waiter.wake()
    waiter.wait(600)  # what was woken before it began
    waiter.wait(0.001)
    waiter.wait(-5.0)


def test_a_stop_ends_every_wait_now_and_later() -> None:
    waiter = Waiter()
    threading.Timer(0.01, waiter.stop).start()
    waiter.wait(1e300)
    waiter.wait(600)


def test_an_answer_or_its_failure_wakes_up() -> None:
    waiter = Waiter()
    answer, failure = waiter.start(lambda: 42), waiter.start(lambda: 1 // 0)
    while not (answer.done and failure.done):
        waiter.wait(600)
    assert (answer.value, type(failure.error)) == (42, ZeroDivisionError)


def test_a_request_that_hangs_keeps_no_other_waiting() -> None:
    waiter, hangs = Waiter(), threading.Event()
    hanging = waiter.start(lambda: hangs.wait(600))
    other = waiter.start(lambda: "still")
    while not other.done:
        waiter.wait(600)
    assert not hanging.done
    hangs.set()
