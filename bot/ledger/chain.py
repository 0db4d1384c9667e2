"""The hash chain: each decision's `chain` covers the row before's, its candle, its row and fill, and from version 2 on
the whole weights of its model.

Anyone can compute it: SHA-256 in hexadecimal over the UTF-8 of a JSON array without spaces, floats as Python's `repr`
writes them, SQL NULL as null.
"""

import hashlib
import json
from collections.abc import Iterable, Sequence
from typing import Any, Final

from bot.market import Candle
from bot.trading import AccountTerms, Decision, Fill

VERSION: Final = 2  # of new rows


def digest(parts: Sequence[Any]) -> str:
    """SHA-256 of the parts as a JSON array."""
    return hashlib.sha256(json.dumps(parts, separators=(",", ":"), ensure_ascii=False).encode()).hexdigest()


def _cells(market: str, candle: Candle) -> list[Any]:
    return [market, *candle[:6], int(candle.synthetic)]


def genesis(terms: AccountTerms, warmup: Iterable[Candle]) -> str:
    """The link before the first decision's: the account's terms (with the exchange's limits where it keeps to them),
    then each warm-up candle in turn.
    """
    name, market, (*own, limits), *rest, _ = terms
    link = digest([name, market, *own, *rest, *(limits or ())])
    for candle in warmup:
        link = digest([link, _cells(market, candle)])
    return link


def link(
    before: str,
    terms: AccountTerms,
    candle: Candle,
    decision: Decision,
    fill: Fill | None,
    warmup_from: int | None,
    weights_sha256: str | None,
) -> str:
    """The `chain` of a decision: over [before, [candle], [account, decision, warmup_from], [fill] or null], each in
    the order of the ledger's columns, and in version 2 the SHA-256 of the model's weights (None in version 1).
    """
    row = [terms.name, *decision, warmup_from]
    parts = [before, _cells(terms.market, candle), row, list(fill) if fill else None]
    return digest(parts if weights_sha256 is None else [*parts, weights_sha256])
