"""When to ask an exchange again."""

import random
from collections.abc import Callable
from typing import Final

from bot.errors import ExchangeError, ExchangeRefusedError

MAX_RETRY_WAIT: Final = 300.0  # seconds between two tries, so that the end of an outage is seen in time
REFUSED_RETRY_WAIT: Final = 3600.0
REFUSALS: Final = 5  # in a row, until a refusal is taken for final


def retry_wait(failures: int, error: ExchangeError | None = None, jitter: Callable[[], float] = random.random) -> float:
    """Seconds until the next try after `failures` failures of this kind in a row: 2, 4, 8, ... to MAX_RETRY_WAIT, less
    a random half of it; never before the exchange's own `Retry-After`; an hour from the REFUSALS-th refusal on.
    """
    if isinstance(error, ExchangeRefusedError) and failures >= REFUSALS:
        return REFUSED_RETRY_WAIT
    wait = min(MAX_RETRY_WAIT, 2.0 ** min(failures, 16))
    return max(wait * (1 - jitter() / 2), error.retry_after if error else 0.0)
