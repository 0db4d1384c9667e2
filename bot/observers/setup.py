"""Which observers the settings ask for."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import structlog

from bot.clock import Clock
from bot.observers.notifications import Notifier, Ping
from bot.observers.systemd import StatusLine, listening
from bot.observers.threads import Observer, Observers
from bot.settings import Settings

_LAST_WORDS: Final = 2.0  # seconds that observers get at the end

log = structlog.get_logger()


def make_observers(settings: Settings, clock: Clock, *, stays: bool) -> Observers:
    """The observers that the settings, and systemd, ask for. `stays`: the process stays, and can be asked over HTTP.

    Raises UsageError for addresses that cannot be used. A port that is taken is a warning.
    """
    observers: list[Observer] = []
    if stays and settings.health.port:
        from bot.observers.metrics import Metrics, serve  # noqa: PLC0415 - 10 MB that only those who use it should pay for

        metrics = Metrics(settings, clock)
        try:
            serve(metrics, settings.health.address, settings.health.port)
        except OSError as error:
            log.warning("metrics_off", error=f"cannot listen on health.port {settings.health.port}: {error}")
        else:
            observers.append(metrics)
    if listening():
        observers.append(StatusLine())
    observers += [Notifier(settings, clock, number + 1) for number, _ in enumerate(settings.notify.urls.split())]
    if settings.notify.ping_url:
        observers.append(Ping(settings.notify.ping_url))
    return Observers(observers)


@contextmanager
def attended(settings: Settings, clock: Clock, *, stays: bool) -> Iterator[Observers]:
    """The observers of `make_observers` while the block runs; an error that ends it is an event for them, too."""
    observers = make_observers(settings, clock, stays=stays)
    try:
        yield observers
    except Exception as error:
        observers.on_event("failed", error=str(error))
        raise
    finally:
        observers.close(_LAST_WORDS)
