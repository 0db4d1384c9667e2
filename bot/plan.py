"""From what the exchange says and what the ledger holds to the candles that are decided next. Pure."""

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, Final, NamedTuple

from bot.candles import Candle, holes, is_suspect, whole
from bot.errors import ExchangeError

OVERLAP: Final = 24  # stored bars that are asked for again, to see revisions


class Plan(NamedTuple):
    """`run` is every candle from the first asked for to the newest that may be decided on, without holes; those that
    the ledger has are the ledger's. `suspect` is the candle that waits to be believed, if any. `gaps` are stretches
    (first missing bar, bars) that were filled, `revisions` stored candles that the exchange now tells otherwise.
    """

    run: list[Candle]
    suspect: Candle | None
    gaps: list[tuple[int, int]]
    revisions: list[tuple[Candle, Candle]]


def make_plan(
    stored: Sequence[Candle], told: Sequence[Candle], bar: int, believed: Callable[[Candle, Candle], bool]
) -> Plan:
    """`stored`: the ledger's newest candles; `told`: the exchange's closed ones since the first of those.

    `believed(before, candle)` says whether a suspect candle that no later one confirms may be trusted all the same, by
    the ticker.

    Raises ExchangeError where the answer contradicts most of what is stored.
    """
    mine = {candle.bar_time: candle for candle in stored}
    both = [(mine[candle.bar_time], candle) for candle in told if candle.bar_time in mine]
    absurd = [now for before, now in both if is_suspect(before, now)]
    if len(absurd) > max(1, len(both) / 2):
        raise ExchangeError(f"the exchange contradicts the ledger: {len(absurd)} of {len(both)} prices are far off")
    known = sorted({candle.bar_time: candle for candle in [*told, *stored]}.values())
    accepted, suspect = _accepted(known, mine, believed)
    run = whole(accepted, bar)
    # A hole is told of with its first bar: where that is stored and the rest is not, it was told of before a crash.
    filled = {candle.bar_time + bar for candle in stored if candle.synthetic}
    gaps = [hole for hole in holes(accepted, bar) if hole[0] not in filled]
    return Plan(run, suspect, gaps, [(before, now) for before, now in both if before[:6] != now[:6]])


def doubts(stored: Sequence[Candle], told: Sequence[Candle], bar: int) -> list[Candle]:
    """The new candles that follow a hole or a suspect price, so that the exchange is better asked twice."""
    known = sorted({candle.bar_time: candle for candle in [*told, *stored]}.values())
    first_new = stored[-1].bar_time if stored else known[0].bar_time
    return [
        now
        for before, now in pairwise(known)
        if now.bar_time > first_new and (now.bar_time - before.bar_time > bar or is_suspect(before, now))
    ]


def _accepted(
    known: Sequence[Candle], mine: dict[int, Candle], believed: Callable[[Candle, Candle], bool]
) -> tuple[list[Candle], Candle | None]:
    accepted: list[Candle] = []
    for place, candle in enumerate(known):
        stands = candle.bar_time in mine or place + 1 < len(known)  # a later candle has closed, and it is still there
        if accepted and is_suspect(accepted[-1], candle) and not stands and not believed(accepted[-1], candle):
            return accepted, candle
        accepted.append(candle)
    return accepted, None


def revision_detail(before: Candle, now: Candle) -> dict[str, Any]:
    """What a `revision` event says: the bar, what was stored and is kept, and what the exchange says now."""
    return {"bar_time": before.bar_time, "stored": list(before[1:6]), "now": list(now[1:6])}
