"""Files of candles: written whole with what they are, imported, described."""

import csv
import gzip
import hashlib
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np

from bot import clock
from bot.clock import END_OF_TIME, bar_seconds
from bot.errors import UsageError
from bot.extras import extras_required
from bot.market import Candle, find_gaps, read_candles
from bot.whole import write_whole

COLUMNS: Final = ("t", "o", "h", "l", "c", "v")
ENDINGS: Final = (".parquet", ".csv", ".csv.gz")


class Origin(NamedTuple):
    """Where candles come from; a field is empty where it is unknown."""

    exchange: str = ""
    symbol: str = ""
    timeframe: str = ""


def inside(candles: Sequence[Candle], since: int | None, until: int | None) -> list[Candle]:
    """The candles with `since <= bar_time < until`; None leaves a side open."""
    first, end = -1 if since is None else since, END_OF_TIME if until is None else until
    return [candle for candle in candles if first <= candle.bar_time < end]


def between(candles: Sequence[Candle], since: int | None, until: int | None) -> list[Candle]:
    """The candles `inside`. Raises UsageError where there are none."""
    chosen = inside(candles, since, until)
    if not chosen:
        span = f"from {clock.utc(candles[0].bar_time)} to {clock.utc(candles[-1].bar_time)}"
        raise UsageError(f"there are no candles between --from and --to; the file has candles {span}")
    return chosen


def numbers(candles: Sequence[Candle]) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    """Open, high, low, close and volume of candles, (n, 5)."""
    return np.array([candle[1:6] for candle in candles], np.float64).reshape(-1, 5)


def sha256(candles: Sequence[Candle]) -> str:
    """SHA-256 of candles whatever file they are in: bar time and the five numbers of each, as little-endian doubles."""
    return hashlib.sha256(np.array([candle[:6] for candle in candles], "<f8").tobytes()).hexdigest()


def origin_of(path: Path) -> tuple[Origin, str]:
    """Origin and SHA-256 that a Parquet file tells of its candles; empty texts where it does not, or is another kind.

    Raises UsageError where it cannot be read.
    """
    if path.suffix.lower() != ".parquet":
        return Origin(), ""
    pa, pq = _arrow()
    try:
        metadata = pq.read_schema(path).metadata or {}
    except (OSError, pa.ArrowException) as error:
        raise UsageError(f"{path} is not a readable Parquet file: {error}") from error
    names = (*Origin._fields, "sha256")
    exchange, symbol, timeframe, digest = (metadata.get(name.encode(), b"").decode(errors="replace") for name in names)
    return Origin(exchange, symbol, timeframe), digest


def read_file(path: Path, timeframe: str = "") -> tuple[list[Candle], Origin]:
    """Candles of a file and where they come from. `timeframe` is needed where the file does not say; 1h by default.

    Raises UsageError where it cannot be read, is of another timeframe, or holds other candles than it says.
    """
    if not path.exists():
        raise UsageError(f"{path}: there is no such file")
    origin, digest = origin_of(path)
    if timeframe and origin.timeframe not in {"", timeframe}:
        raise UsageError(f"{path} has candles of {origin.timeframe}, not of {timeframe}")
    origin = origin._replace(timeframe=timeframe or origin.timeframe or "1h")
    candles = read_candles(path, bar_seconds(origin.timeframe))
    if digest and digest != sha256(candles):
        raise UsageError(f"{path} does not hold the candles that it was written with: their SHA-256 differs")
    return candles, origin


def check_ending(path: Path) -> None:
    """Raise UsageError unless candles can be written to a file of that name."""
    if not path.name.lower().endswith(ENDINGS):
        raise UsageError(f"{path}: candles are written to {', '.join(ENDINGS)}")


def write_file(path: Path, candles: Sequence[Candle], origin: Origin) -> None:
    """Write candles whole or not at all. The ending tells the format.

    Parquet has `origin` and the candles' SHA-256 in its metadata. Raises UsageError where it cannot be written.
    """
    check_ending(path)
    content = _parquet(candles, origin) if path.suffix.lower() == ".parquet" else _csv(candles)
    if path.suffix.lower() == ".gz":
        content = gzip.compress(content, mtime=0)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, content)
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error}") from error


def _arrow() -> tuple[Any, Any]:
    """The modules pyarrow and pyarrow.parquet. Raises UsageError where the extra is missing."""
    with extras_required("Parquet"):
        import pyarrow as pa  # noqa: PLC0415 - an extra, and slow to load
        import pyarrow.parquet as pq  # noqa: PLC0415
    return pa, pq


def _parquet(candles: Sequence[Candle], origin: Origin) -> bytes:
    pa, pq = _arrow()
    columns = list(zip(*(candle[:6] for candle in candles), strict=True))
    kinds = [pa.int64()] + [pa.float64()] * 5
    table = pa.table({name: pa.array(*column) for name, *column in zip(COLUMNS, columns, kinds, strict=True)})
    sink = io.BytesIO()
    pq.write_table(table.replace_schema_metadata({**origin._asdict(), "sha256": sha256(candles)}), sink)
    return sink.getvalue()


def _csv(candles: Sequence[Candle]) -> bytes:
    text = io.StringIO(newline="")
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(COLUMNS)
    rows.writerows(candle[:6] for candle in candles)
    return text.getvalue().encode()


def describe(candles: Sequence[Candle], origin: Origin) -> dict[str, Any]:
    """What there is to know of a run of candles: span, gaps, bars without volume, extremes, SHA-256.

    Returns are natural logarithms from close to close, changes of volume in percent where the volume before is not 0.
    """
    table = numbers(candles)
    closes, volumes = table[:, 3], table[:, 4]
    gaps = find_gaps(candles, bar_seconds(origin.timeframe))
    returns = np.diff(np.log(closes))
    known = volumes[:-1] > 0
    changes = 100 * (volumes[1:][known] / volumes[:-1][known] - 1)

    def extreme(values: np.ndarray[Any, np.dtype[np.float64]], place: int, first: int) -> dict[str, Any]:
        return {"value": float(values[place]), "at": clock.utc(candles[place + first].bar_time)}

    return {
        **origin._asdict(),
        "candles": len(candles),
        "first": clock.utc(candles[0].bar_time),
        "last": clock.utc(candles[-1].bar_time),
        "missing": sum(bars for _, bars in gaps),
        "gaps": [{"from": clock.utc(since), "bars": bars} for since, bars in gaps],
        "zero_volume": int((volumes == 0).sum()),
        "lowest": extreme(table[:, 2], int(table[:, 2].argmin()), 0),
        "highest": extreme(table[:, 1], int(table[:, 1].argmax()), 0),
        "log_return_std": float(returns.std()) if len(returns) else 0.0,
        "largest_fall": extreme(returns, int(returns.argmin()), 1) if len(returns) else None,
        "largest_rise": extreme(returns, int(returns.argmax()), 1) if len(returns) else None,
        "largest_volume_change_pct": float(changes.max()) if len(changes) else None,
        "sha256": sha256(candles),
    }
