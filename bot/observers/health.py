"""Whether bars are decided in time: the one question that health, metrics and notifications ask."""

from collections.abc import Mapping
from typing import Final, NamedTuple

from bot.clock import utc
from bot.settings import Settings

BACKWARD: Final = 60  # seconds that a clock may be behind the close of a bar that was decided
_MOST_NAMED: Final = 5


class Health(NamedTuple):
    """`sentence` says why. `lag_seconds` have passed since the newest decided bar closed, None where there is none;
    `allowed_seconds` may. Of several markets, these are of the one that lags most; `not_healthy` are the names of those
    that lag too far.
    """

    healthy: bool
    sentence: str
    bar_time: int | None
    lag_seconds: float | None
    allowed_seconds: float
    not_healthy: tuple[str, ...] = ()


class NewestBar(NamedTuple):
    """How far a market has come: the length of its bars in seconds, and the newest decided one."""

    bar: int
    bar_time: int | None


def allowed_lag(settings: Settings, bar: int | None = None) -> float:
    """Seconds that may pass after the close of the newest decided bar: until the next one has closed, is asked for,
    and is too old to be traded on. `bar` is the length of a bar in seconds, by default that of the first market.
    """
    schedule = settings.schedule
    return (bar or settings.bar) + schedule.poll_delay_seconds + schedule.max_decision_delay_seconds


def check_health(bar_time: int | None, now: float, settings: Settings, bar: int | None = None) -> Health:
    """How a market is at `now` (Unix seconds) whose newest decided bar is `bar_time`."""
    bar = bar or settings.bar
    allowed = allowed_lag(settings, bar)
    if bar_time is None:
        return unknown("no bar has been decided yet", settings, bar)
    lag = now - bar_time - bar
    if lag < -BACKWARD:
        sentence = f"not healthy: the newest decided bar, {utc(bar_time)}, has not closed by this clock: it went back"
        return Health(healthy=False, sentence=sentence, bar_time=bar_time, lag_seconds=lag, allowed_seconds=allowed)
    sentence = f"the newest decided bar, {utc(bar_time)}, closed {span(lag)} ago"
    sentence = f"healthy: {sentence}" if lag <= allowed else f"not healthy: {sentence}, {span(allowed)} are allowed"
    return Health(lag <= allowed, sentence, bar_time, lag, allowed)


def check_markets(newest: Mapping[str, NewestBar], now: float, settings: Settings) -> Health:
    """How all markets are at `now`, by their names: healthy if each of them is."""
    found = {name: check_health(at.bar_time, now, settings, at.bar) for name, at in newest.items()}
    bad = {name: health for name, health in found.items() if not health.healthy}
    worst = max((bad or found).values(), key=_excess_lag)
    if len(found) == 1:
        return worst._replace(not_healthy=tuple(bad))
    if not bad:
        name = next(name for name, health in found.items() if health is worst)
        when = (
            f"the newest decided bar of {name}, {utc(worst.bar_time or 0)}, closed {span(worst.lag_seconds or 0)} ago"
        )
        return worst._replace(sentence=f"healthy: all {len(found)} markets; {when}")
    named = [f"{name}: {health.sentence.removeprefix('not healthy: ')}" for name, health in bad.items()]
    more = [f"and {len(named) - _MOST_NAMED} more"] if len(named) > _MOST_NAMED else []
    sentence = f"not healthy: {len(bad)} of {len(found)} markets; {'; '.join([*named[:_MOST_NAMED], *more])}"
    return worst._replace(sentence=sentence, not_healthy=tuple(bad))


def _excess_lag(health: Health) -> float:
    return float("inf") if health.lag_seconds is None else abs(health.lag_seconds) - health.allowed_seconds


def unknown(reason: str, settings: Settings, bar: int | None = None) -> Health:
    """Not healthy, for want of a bar."""
    sentence = f"not healthy: {reason}"
    allowed = allowed_lag(settings, bar)
    return Health(healthy=False, sentence=sentence, bar_time=None, lag_seconds=None, allowed_seconds=allowed)


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
