"""Candles from a file: CSV (also gzipped), Parquet, or the article's JSON."""

import csv
import gzip
import json
import zlib
from collections.abc import Callable, Generator, Iterable
from contextlib import closing
from pathlib import Path
from typing import Any, Final, cast

from bot.errors import UsageError
from bot.extras import extras_required
from bot.market.candles import BadCandlesError, Candle, validate_candles

_COLUMNS: Final = (("t", "o", "h", "l", "c", "v"), ("timestamp", "open", "high", "low", "close", "volume"))
_UNITS: Final = ((10**14, 10**6), (10**11, 10**3))  # 10**11 is the year 5138 in seconds, 1973 in milliseconds

Row = Iterable[Any]


def read_candles(path: Path, bar: int) -> list[Candle]:
    """The candles of a file in order of time, checked; holes stay holes.

    Columns `t,o,h,l,c,v`, or ccxt's `timestamp,open,high,low,close,volume`; times in seconds, milliseconds or
    microseconds since 1970. The ending tells the format: `.csv`, `.csv.gz`, `.parquet`, `.json` (a list of
    `[t, o, h, l, c, v]`).

    Raises UsageError, naming the file and the row, where it cannot be read or holds what no exchange trades.
    """
    name = path.name.lower()
    reader = next((read for ending, read in _READERS.items() if name.endswith(ending)), None)
    if reader is None:
        raise UsageError(f"{path}: candles are read from {', '.join(_READERS)}")
    return candles_of(path, reader(path), bar)


def candles_of(path: Path, rows: Generator[Row, None, None], bar: int) -> list[Candle]:
    """The candles of a file's rows of six numbers, in order of time, checked. Times are in seconds, milliseconds or
    microseconds since 1970.

    Raises UsageError, naming the file and the row, where the rows cannot be read or hold what no exchange trades.
    """
    try:
        with closing(rows):
            candles = validate_candles((_candle(row, number) for number, row in enumerate(rows, 1)), bar)
    except FileNotFoundError as error:
        raise UsageError(f"{path}: there is no such file") from error
    except (OSError, EOFError, ValueError, RecursionError, csv.Error, zlib.error) as error:
        # BadCandlesError and broken text are ValueErrors.
        raise UsageError(f"{path} holds no usable candles: {error}") from error
    if not candles:
        raise UsageError(f"{path} holds no candles")
    return candles


def _candle(row: Row, number: int) -> Candle:
    try:
        time, *numbers = (float(cell) for cell in row)
        time /= next((unit for least, unit in _UNITS if time >= least), 1)
        if time != int(time):
            raise BadCandlesError(f"row {number} has a time that is not whole seconds: {time}")
        if len(numbers) != 5:
            raise BadCandlesError(f"it is {len(numbers) + 1} numbers, not six")
        return Candle(int(time), *cast("tuple[float, float, float, float, float]", tuple(numbers)))
    except (TypeError, OverflowError) as error:
        raise BadCandlesError(f"row {number} is not six numbers: {row!r}") from error
    except ValueError as error:
        raise BadCandlesError(f"row {number}: {error}") from error


def _pick(names: Iterable[str]) -> tuple[str, ...]:
    present = {name.strip().lower(): name for name in names}
    for columns in _COLUMNS:
        if present.keys() >= set(columns):
            return tuple(present[column] for column in columns)
    raise BadCandlesError(f"its columns are {', '.join(present) or 'missing'}, not {','.join(_COLUMNS[0])}")


def _csv(path: Path) -> Generator[Row, None, None]:
    opener = gzip.open if path.suffix.lower() == ".gz" else open
    with opener(path, "rt", newline="", encoding="utf-8") as file:
        rows = csv.reader(file)
        header = next(rows, [])
        places = [header.index(column) for column in _pick(header)]
        for row in rows:
            if row:
                yield [row[place] if place < len(row) else "" for place in places]


def _json(path: Path) -> Generator[Row, None, None]:
    rows = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(rows, list):
        raise BadCandlesError("it is JSON, but not a list of [t, o, h, l, c, v]")
    yield from rows


def _parquet(path: Path) -> Generator[Row, None, None]:
    with extras_required("Parquet"):
        import pyarrow as pa  # noqa: PLC0415 - an extra, and slow to load
        import pyarrow.parquet as pq  # noqa: PLC0415
    try:
        table = pq.read_table(path)
    except pa.ArrowException as error:
        raise BadCandlesError(str(error)) from error
    columns = [table.column(name).to_pylist() for name in _pick(table.column_names)]
    yield from zip(*columns, strict=True)


_READERS: Final[dict[str, Callable[[Path], Generator[Row, None, None]]]] = {
    ".csv": _csv,
    ".csv.gz": _csv,
    ".json": _json,
    ".parquet": _parquet,
}
