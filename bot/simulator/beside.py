"""Further markets of a simulated exchange: their candles, and the settings that trade them all."""

import json
from collections.abc import Sequence
from typing import Final

from bot.market import Candle
from bot.simulator.generate import generate_candles
from bot.simulator.market import symbols

MOST_MARKETS: Final = 100
_PRICES: Final = (250.0, 50.0, 0.25, 4.0, 1.0)  # of the symbols after Bitcoin's, in turn
_SHARE: Final = 0.5


def beside(candles: Sequence[Candle], count: int, seed: int, bar: int) -> dict[str, list[Candle]]:
    """Generated candles of the symbols after the first of `count`, over the same time as `candles`."""
    start = candles[0].bar_time
    bars = (candles[-1].bar_time - start) // bar + 1
    return {
        symbol: generate_candles(bars, seed + 1000 + number, start, bar, _PRICES[number % len(_PRICES)])
        for number, symbol in enumerate(symbols(count)[1:])
    }


def market_tables(names: Sequence[str]) -> str:
    """`[[markets]]` of these symbols as TOML; an account is named after its base currency."""
    return "".join(
        f"\n[[markets]]\nname = {json.dumps(symbol.split('/')[0].lower())}\nsymbol = {json.dumps(symbol)}\n"
        f"initial_share = {_SHARE}\n"
        for symbol in names
    )
