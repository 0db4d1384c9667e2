"""Candles as other programs and archives keep them: freqtrade, Binance's public data, CryptoDataDownload."""

import csv
import gzip
import io
import json
import re
import zipfile
from collections.abc import Callable, Generator, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from bot.clock import bar_seconds
from bot.errors import UsageError
from bot.extras import extras_required
from bot.market import BadCandlesError, Candle, candles_of, validate_candles
from training.data.files import Origin, read_file

_FREQTRADE: Final = re.compile(
    r"(?P<base>[A-Z0-9]+)_(?P<quote>[A-Z0-9]+)(_[A-Z0-9]+)?-(?P<timeframe>\d+[mhd])(-\w+)?\."
)
_BINANCE: Final = re.compile(r"(?P<pair>[A-Z0-9]+)-(?P<timeframe>\d+[mhd])-\d{4}-\d{2}")
_CRYPTO_DATA_DOWNLOAD: Final = re.compile(r"(?P<exchange>[A-Za-z]+)_(?P<pair>[A-Z0-9]+)_(?P<timeframe>\d+[mhd])\b")
_QUOTES: Final = ("USDT", "USDC", "FDUSD", "TUSD", "BUSD", "USD", "EUR", "GBP", "TRY", "BTC", "ETH", "BNB")
_DATES: Final = ("%Y-%m-%d %I-%p", "%Y-%m-%d %H:%M:%S", "%Y-%m-%d")
_PRICES: Final = ("open", "high", "low", "close")

Rows = Generator[Sequence[Any], None, None]


def read_any(path: Path, timeframe: str = "") -> tuple[list[Candle], Origin]:
    """Candles of a file of this or of another program, in order of time, and what its name tells of their origin.

    Known are, besides what `read_file` reads: freqtrade's `.feather`, `.json` and `.json.gz`; Binance's public `.zip`
    and the `.csv` in it, with times in milliseconds or microseconds, with or without a header; CryptoDataDownload's
    `.csv`, newest first or last, with or without its comment line. Raises UsageError where it cannot be read.
    """
    if not path.exists():
        raise UsageError(f"{path}: there is no such file")
    reader, origin = _kind_of(path)
    if reader is None:
        candles, told = read_file(path, timeframe or origin.timeframe)
        return candles, Origin(*(mine or guessed for mine, guessed in zip(told, origin, strict=True)))
    origin = origin._replace(timeframe=timeframe or origin.timeframe or "1h")
    return candles_of(path, reader(path), bar_seconds(origin.timeframe)), origin


def read_series(paths: Sequence[Path], timeframe: str = "") -> tuple[list[Candle], Origin]:
    """The candles of several files of one market, together in order of time, and what their names tell of their origin.

    Raises UsageError as `read_any`, and where the files are of several markets or differ in a bar.
    """
    parts = [read_any(path, timeframe) for path in paths]
    origin = parts[0][1]
    for path, (_, other) in zip(paths, parts, strict=True):
        if other != origin:
            raise UsageError(f"{path} is of another market than {paths[0]}: import them one at a time")
    try:
        bar = bar_seconds(origin.timeframe)
        return validate_candles((candle for candles, _ in parts for candle in candles), bar), origin
    except BadCandlesError as error:
        raise UsageError(f"the files do not agree: {error}") from error


def _kind_of(path: Path) -> tuple[Callable[[Path], Rows] | None, Origin]:
    """What reads the file, None for `read_file`, and its origin as far as the name tells."""
    name = path.name.lower()
    if name.endswith(".csv"):
        return _kind_of_csv(path)
    for ending, reader, origin_of in _KINDS:
        if name.endswith(ending):
            return reader, origin_of(path)
    return None, Origin()


def _kind_of_csv(path: Path) -> tuple[Callable[[Path], Rows] | None, Origin]:
    head = _head(path)
    if head[:1].isdigit() or head.startswith("open_time"):  # Binance's have no header, or this one
        return _binance_csv, _binance_origin(path)
    if head.startswith("http") or {"symbol", "date"} & set(re.split(r"\s*,\s*", head.lower())):
        return _crypto_data_download, _crypto_data_download_origin(path)
    return None, Origin()


def _head(path: Path) -> str:
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            return file.readline(1000).lstrip("\ufeff").strip()
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from error


# ---- freqtrade


def _freqtrade_origin(path: Path) -> Origin:
    match = _FREQTRADE.match(path.name)
    return Origin("", f"{match['base']}/{match['quote']}", match["timeframe"]) if match else Origin()


def _feather(path: Path) -> Rows:
    with extras_required("Feather"):
        import pyarrow as pa  # noqa: PLC0415 - an extra, and slow to load
        from pyarrow import feather  # noqa: PLC0415
    try:
        table = feather.read_table(path)
        columns = [table.column(name) for name in ("date", *_PRICES, "volume")]
        times = columns[0].cast(pa.timestamp("ms", tz="UTC")).cast(pa.int64()).to_pylist()
    except (KeyError, pa.ArrowException) as error:
        raise BadCandlesError(str(error)) from error
    yield from zip(times, *(column.to_pylist() for column in columns[1:]), strict=True)


def _json_gz(path: Path) -> Rows:
    with gzip.open(path, "rt", encoding="utf-8") as file:
        rows = json.load(file)
    if not isinstance(rows, list):
        raise BadCandlesError("it is JSON, but not a list of [t, o, h, l, c, v]")
    yield from rows


# ---- Binance


def _binance_origin(path: Path) -> Origin:
    match = _BINANCE.match(path.name)
    return Origin("binance", _symbol(match["pair"]), match["timeframe"]) if match else Origin("binance")


def _symbol(pair: str) -> str:
    """BTCUSDT as ccxt writes it, BTC/USDT; empty where the quote currency is not a known one."""
    quote = next((quote for quote in _QUOTES if pair.endswith(quote) and pair != quote), "")
    return f"{pair.removesuffix(quote)}/{quote}" if quote else ""


def _zip(path: Path) -> Rows:
    try:
        with zipfile.ZipFile(path) as archive:
            names = [name for name in archive.namelist() if name.lower().endswith(".csv")]
            if len(names) != 1:
                raise BadCandlesError(f"it has {len(names)} CSV files, not one")
            with archive.open(names[0]) as file:
                yield from _binance_rows(io.TextIOWrapper(file, encoding="utf-8", newline=""))
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:  # broken, an unknown method, encrypted
        raise BadCandlesError(str(error)) from error


def _binance_csv(path: Path) -> Rows:
    with path.open(encoding="utf-8", newline="") as file:
        yield from _binance_rows(file)


def _binance_rows(lines: Iterator[str]) -> Iterator[Sequence[Any]]:
    for number, row in enumerate(csv.reader(lines)):
        if row and not (number == 0 and not row[0].isdigit()):
            yield row[:6]


# ---- CryptoDataDownload


def _crypto_data_download_origin(path: Path) -> Origin:
    match = _CRYPTO_DATA_DOWNLOAD.match(path.name)
    return Origin(match["exchange"].lower(), _symbol(match["pair"]), match["timeframe"]) if match else Origin()


def _crypto_data_download(path: Path) -> Rows:
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = csv.reader(file)
        header = next((row for row in rows if len(row) > 1), [])  # after the comment, which is an address
        names = [name.strip().lower() for name in header]
        try:
            time = names.index(next(name for name in ("unix", "unix timestamp", "date") if name in names))
            prices = [names.index(name) for name in _PRICES]
            symbol = names.index("symbol")
        except (StopIteration, ValueError) as error:
            raise BadCandlesError(f"its columns are {', '.join(names) or 'missing'}") from error
        for row in rows:
            if len(row) == len(names):
                yield [_time(row[time]), *(row[place] for place in prices), row[_volume(names, row[symbol])]]


def _volume(names: Sequence[str], symbol: str) -> int:
    """Which column has the volume in the base currency, the one that the symbol begins with."""
    volumes = [place for place, name in enumerate(names) if name.startswith("volume")]
    for place in volumes:
        base = names[place].removeprefix("volume").strip(" _")
        if base and symbol.lower().startswith(base):
            return place
    raise BadCandlesError(f"it has no column with the volume in the coins of {symbol}")


def _time(text: str) -> float:
    """Unix seconds, milliseconds or microseconds as they are; a date in UTC as seconds."""
    try:
        return float(text)
    except ValueError:
        pass
    for form in _DATES:
        try:
            return datetime.strptime(text.strip(), form).replace(tzinfo=UTC).timestamp()
        except ValueError:
            continue
    raise BadCandlesError(f"{text!r} is not a time")


_KINDS: Final[tuple[tuple[str, Callable[[Path], Rows] | None, Callable[[Path], Origin]], ...]] = (
    (".feather", _feather, _freqtrade_origin),
    (".json.gz", _json_gz, _freqtrade_origin),
    (".json", None, _freqtrade_origin),
    (".zip", _zip, _binance_origin),
)
