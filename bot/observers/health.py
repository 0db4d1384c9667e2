"""Whether bars are decided in time: the one question that health, metrics and notifications ask."""

from typing import Final, NamedTuple

from bot.clock import utc
from bot.settings import Settings

BACKWARD: Final = 60  # seconds that a clock may be behind the close of a bar that was decided


class Health(NamedTuple):
    """`sentence` says why. `lag_seconds` have passed since the newest decided bar closed, None where there is none;
    `allowed_seconds` may.
    """

    healthy: bool
    sentence: str
    bar_time: int | None
    lag_seconds: float | None
    allowed_seconds: float


def allowed_lag(settings: Settings, bar: int | None = None) -> float:
    """Seconds that may pass after the close of the newest decided bar: until the next one has closed, is asked for,
    and is too old to be traded on. `bar` is the length of a bar in seconds, by default that of the first market.
    """
    schedule = settings.schedule
    return (bar or settings.bar) + schedule.poll_delay_seconds + schedule.max_decision_delay_seconds


def check_health(bar_time: int | None, now: float, settings: Settings) -> Health:
    """How an account is at `now` (Unix seconds) whose newest decided bar is `bar_time`."""
    allowed = allowed_lag(settings)
    if bar_time is None:
        return unknown("no bar has been decided yet", settings)
    lag = now - bar_time - settings.bar
    if lag < -BACKWARD:
        sentence = f"not healthy: the newest decided bar, {utc(bar_time)}, has not closed by this clock: it went back"
        return Health(healthy=False, sentence=sentence, bar_time=bar_time, lag_seconds=lag, allowed_seconds=allowed)
    sentence = f"the newest decided bar, {utc(bar_time)}, closed {span(lag)} ago"
    sentence = f"healthy: {sentence}" if lag <= allowed else f"not healthy: {sentence}, {span(allowed)} are allowed"
    return Health(lag <= allowed, sentence, bar_time, lag, allowed)


def unknown(reason: str, settings: Settings) -> Health:
    """Not healthy, for want of a bar."""
    sentence = f"not healthy: {reason}"
    return Health(
        healthy=False, sentence=sentence, bar_time=None, lag_seconds=None, allowed_seconds=allowed_lag(settings)
    )


def span(seconds: float) -> str:
    """A length of time for people: `42 s`, `7 min`, `3 h 5 min`, `2 d 4 h`."""
    minutes = round(seconds / 60)
    if seconds < 60:
        return f"{max(0, round(seconds))} s"
    if minutes < 60:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {minutes} min"
    return f"{hours // 24} d {hours % 24} h"
