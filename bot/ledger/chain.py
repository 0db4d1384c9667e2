"""The hash chain: each decision's `chain` covers the row before's, its candle, and everything in its row and fill.

Anyone can compute it: SHA-256 in hexadecimal over the UTF-8 of a JSON array without spaces, floats in their shortest
form that reads back to the same bits (Python's `repr`), SQL NULL as null.
"""

import hashlib
import json
from collections.abc import Iterable, Sequence
from typing import Any

from bot.account import Terms
from bot.candles import Candle
from bot.trader import Decision, Fill


def digest(parts: Sequence[Any]) -> str:
    """SHA-256 of the parts as a JSON array."""
    return hashlib.sha256(json.dumps(parts, separators=(",", ":"), ensure_ascii=False).encode()).hexdigest()


def _cells(market: str, candle: Candle) -> list[Any]:
    return [market, *candle[:6], int(candle.synthetic)]


def genesis(terms: Terms, warmup: Iterable[Candle]) -> str:
    """What the first decision's `chain` stands on: the account's terms, then each warm-up candle in turn."""
    name, market, rules, *rest = terms
    link = digest([name, market, *rules, *rest])
    for candle in warmup:
        link = digest([link, _cells(market, candle)])
    return link


def link(
    before: str, terms: Terms, candle: Candle, decision: Decision, fill: Fill | None, warmup_from: int | None
) -> str:
    """The `chain` of a decision: over [before, [candle], [account, decision, warmup_from], [fill] or null], each in
    the order of the ledger's columns.
    """
    row = [terms.name, *decision, warmup_from]
    return digest([before, _cells(terms.market, candle), row, list(fill) if fill else None])
