"""Several files of candles at once: which market each is, and which of their hours count."""

import re
from collections.abc import Callable, Sequence
from glob import glob
from itertools import pairwise
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np

from bot.clock import bar_seconds, utc
from bot.errors import UsageError
from bot.market import Candle, find_gaps
from training.data.files import ENDINGS, Origin, between, inside, read_file

_QUOTE: Final = "(?:USDT|USDC|BUSD|TUSD|FDUSD|USD|EUR|GBP|JPY|DAI)(?![A-Za-z0-9])"
_SYMBOLS: Final = (
    re.compile(rf"(?<![A-Za-z0-9])([A-Za-z0-9]{{2,10}})[/_-]{_QUOTE}", re.IGNORECASE),
    re.compile(rf"(?<![A-Za-z0-9])([A-Za-z0-9]{{2,10}}?){_QUOTE}", re.IGNORECASE),
)
_SAME: Final = {"XBT": "BTC"}
_LEAST_PART: Final = 0.1


class Market(NamedTuple):
    """Candles of one market in order of time, holes left as they are. `name` is the file's, `coin` the base currency
    (empty where neither the file nor its name tells), `bar` the candles' length in seconds.
    """

    name: str
    coin: str
    bar: int
    candles: list[Candle]


def load_markets(
    patterns: Sequence[Path],
    timeframe: str = "",
    *,
    same_coin: bool = False,
    warn: Callable[[str], None] = lambda _: None,
) -> list[Market]:
    """The markets of files or glob patterns, in the order given.

    Of several files of one coin the first counts whole, and of each further one only the longer stretch before or
    after what counts already (nothing of it where that is less than a tenth), as an hour of a coin is one piece of
    evidence; `warn` is told so in a sentence. With `same_coin` all of them count.

    Raises UsageError where a pattern matches nothing, a file cannot be read, or timeframes differ.
    """
    markets: list[Market] = []
    paths = _paths(patterns)
    for path in paths:
        candles, origin = read_file(path, timeframe)
        bar = bar_seconds(origin.timeframe)
        if markets and markets[0].bar != bar:
            raise UsageError(f"{path} has candles of {bar} seconds, {markets[0].name} of {markets[0].bar}")
        market = Market(market_name(path, paths), coin_of(path, origin), bar, candles)
        rivals = [] if same_coin else [other for other in markets if other.coin and other.coin == market.coin]
        kept = _beyond(market, rivals)
        if len(kept.candles) < len(candles):
            warn(_shortened(market, kept, rivals))
        if kept.candles:
            markets.append(kept)
    return markets


def _paths(patterns: Sequence[Path]) -> list[Path]:
    """Each file once, in order; the files of a pattern by name. Raises UsageError where a pattern matches none."""
    paths: list[Path] = []
    for pattern in patterns:
        if pattern.exists() or not set("*?[") & set(str(pattern)):
            paths.append(pattern)
            continue
        found = sorted(Path(name) for name in glob(str(pattern)))  # noqa: PTH207 - Path.glob takes no absolute pattern
        if not found:
            raise UsageError(f"{pattern} matches no file")
        paths += found
    return list(dict.fromkeys(paths))


def _stem(path: Path) -> str:
    ending = next((ending for ending in (*ENDINGS, ".json") if path.name.lower().endswith(ending)), "")
    return path.name[: len(path.name) - len(ending)]


def market_name(path: Path, among: Sequence[Path] = ()) -> str:
    """What a file's market is called: its name without ending and timeframe, with its folder where others share it."""
    name = re.sub(r"[-_.]\d+[mhd]$", "", _stem(path))
    alike = [other for other in among if other != path and market_name(other) == name]
    return str(path.with_name(_stem(path))) if alike else name


def coin_of(path: Path, origin: Origin = Origin()) -> str:  # noqa: B008 - a NamedTuple is never changed
    """The base currency in capitals: what the file tells of its symbol, else what its name does (`BTC_USDT-binance-1h`,
    `bitfinex_btcusd_1h`); empty where neither does.
    """
    for text in (origin.symbol.partition(":")[0], _stem(path)):
        if found := next(filter(None, (symbol.search(text) for symbol in _SYMBOLS)), None):
            coin = found[1].upper()
            return _SAME.get(coin, coin)
    return ""


def _beyond(market: Market, others: Sequence[Market]) -> Market:
    """The market's longer stretch of candles before or after those of `others`, nothing where that is less than a tenth
    of it; all where there are no others.
    """
    if not others:
        return market
    first = min(other.candles[0].bar_time for other in others)
    last = max(other.candles[-1].bar_time for other in others)
    before = [candle for candle in market.candles if candle.bar_time < first]
    after = [candle for candle in market.candles if candle.bar_time > last]
    longer = max(before, after, key=len)
    return market._replace(candles=longer if len(longer) >= _LEAST_PART * len(market.candles) else [])


def _shortened(market: Market, kept: Market, others: Sequence[Market]) -> str:
    names = " and ".join(other.name for other in others)
    opening = f"{market.name} is the same coin as {names} ({market.coin}), and an hour of a coin counts once: "
    if not kept.candles:
        return f"{opening}it is left out (--same-coin counts it)"
    ends = f"{utc(kept.candles[0].bar_time)[:10]} to {utc(kept.candles[-1].bar_time)[:10]}"
    return f"{opening}only {ends} of it is used (--same-coin counts all of it)"


def within(markets: Sequence[Market], since: int | None, until: int | None) -> list[Market]:
    """The markets with their candles of `since <= bar_time < until` alone; those without any are left out.

    Raises UsageError where none is left.
    """
    if len(markets) == 1:
        return [markets[0]._replace(candles=between(markets[0].candles, since, until))]
    cut = [market._replace(candles=inside(market.candles, since, until)) for market in markets]
    if not any(market.candles for market in cut):
        raise UsageError("there are no candles between --from and --to in any of the files")
    return [market for market in cut if market.candles]


def stretches(market: Market, shortest: int = 2) -> list[list[Candle]]:
    """The runs of at least `shortest` candles without a hole: within them, and only there, a change from one candle to
    the next is the change of one bar.
    """
    holes = [start for start, _ in find_gaps(market.candles, market.bar)]
    times = [candle.bar_time for candle in market.candles]
    cuts = [0, *(int(np.searchsorted(times, hole)) for hole in holes), len(times)]
    runs = [market.candles[start:end] for start, end in pairwise(cuts)]
    return [run for run in runs if len(run) >= shortest]
