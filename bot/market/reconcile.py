"""The exchange's candles against the ledger's: what is decided next. Pure."""

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, Final, NamedTuple

from bot.errors import ExchangeError, WrongMarketError
from bot.market.candles import Candle, fill_gaps, find_gaps, is_suspect

OVERLAP: Final = 24  # stored bars that are fetched again, to see revisions
_FEWEST_TO_COMPARE: Final = 3


class Reconciliation(NamedTuple):
    """`run` is every candle from the first fetched to the newest that may be decided on, without gaps; where the ledger
    has a candle, it is the ledger's. `suspect` is the candle that waits to be confirmed, if any. `gaps` are stretches
    (first missing bar, bars) that were filled, `revisions` stored candles beside what the exchange says now.
    """

    run: list[Candle]
    suspect: Candle | None
    gaps: list[tuple[int, int]]
    revisions: list[tuple[Candle, Candle]]


def reconcile(
    stored: Sequence[Candle],
    fetched: Sequence[Candle],
    bar: int,
    is_confirmed: Callable[[Candle, Candle], bool],
) -> Reconciliation:
    """`stored`: the ledger's newest candles; `fetched`: the exchange's closed ones since the first of those.

    `is_confirmed(before, candle)` says whether the ticker confirms a suspect candle that has no successor yet.

    Raises WrongMarketError where most of the closes differ, ExchangeError where most prices are far off.
    """
    both = _in_both(stored, fetched)
    far_off = [now for before, now in both if is_suspect(before, now)]
    if len(far_off) > max(1, len(both) / 2):
        raise ExchangeError(f"the exchange contradicts the ledger: {len(far_off)} of {len(both)} prices are far off")
    require_same_market(stored, fetched)
    known = _merged(stored, fetched)
    accepted, suspect = _accepted(known, {candle.bar_time for candle in stored}, is_confirmed)
    # A gap is reported with its first bar: where that is stored and the rest is not, it was reported before a crash.
    filled = {candle.bar_time + bar for candle in stored if candle.synthetic}
    gaps = [gap for gap in find_gaps(accepted, bar) if gap[0] not in filled]
    revisions = [(before, now) for before, now in both if before[:6] != now[:6]]
    return Reconciliation(fill_gaps(accepted, bar), suspect, gaps, revisions)


def lacks_overlap(stored: Sequence[Candle], fetched: Sequence[Candle]) -> bool:
    """Whether the exchange has none of the stored candles that it once had, though it has later ones."""
    traded = [candle for candle in stored if not candle.synthetic]
    return bool(traded) and not _in_both(traded, fetched) and fetched[-1].bar_time > traded[-1].bar_time


def require_same_market(stored: Sequence[Candle], fetched: Sequence[Candle]) -> None:
    """Raises WrongMarketError where most closes of the candles that are in both differ."""
    traded = [(before, now) for before, now in _in_both(stored, fetched) if not before.synthetic]
    differing = sum(before.close != now.close for before, now in traded)
    if len(traded) >= _FEWEST_TO_COMPARE and differing > len(traded) / 2:
        raise WrongMarketError(
            f"the exchange's candles are not this ledger's: {differing} of the last {len(traded)} closes differ; set "
            "exchange.id, exchange.symbol and exchange.base_url back, or use another ledger.url"
        )


def needs_second_look(stored: Sequence[Candle], fetched: Sequence[Candle], bar: int) -> bool:
    """Whether a new candle follows a gap or has a suspect price, so that the exchange is better asked twice."""
    known = _merged(stored, fetched)
    first_new = stored[-1].bar_time if stored else known[0].bar_time
    return any(
        now.bar_time > first_new and (now.bar_time - before.bar_time > bar or is_suspect(before, now))
        for before, now in pairwise(known)
    )


def revision_detail(before: Candle, now: Candle) -> dict[str, Any]:
    """The detail of a `revision` event: the bar, what is stored and stays, and what the exchange says now."""
    return {"bar_time": before.bar_time, "stored": list(before[1:6]), "now": list(now[1:6])}


def _in_both(stored: Sequence[Candle], fetched: Sequence[Candle]) -> list[tuple[Candle, Candle]]:
    by_time = {candle.bar_time: candle for candle in stored}
    return [(by_time[candle.bar_time], candle) for candle in fetched if candle.bar_time in by_time]


def _merged(stored: Sequence[Candle], fetched: Sequence[Candle]) -> list[Candle]:
    return sorted({candle.bar_time: candle for candle in [*fetched, *stored]}.values())


def _accepted(
    known: Sequence[Candle], stored: set[int], is_confirmed: Callable[[Candle, Candle], bool]
) -> tuple[list[Candle], Candle | None]:
    """The candles up to the first that nothing confirms, and that one. A later candle confirms those before it."""
    accepted: list[Candle] = []
    for candle in known:
        settled = candle.bar_time in stored or candle is not known[-1]
        if accepted and not settled and is_suspect(accepted[-1], candle) and not is_confirmed(accepted[-1], candle):
            return accepted, candle
        accepted.append(candle)
    return accepted, None
