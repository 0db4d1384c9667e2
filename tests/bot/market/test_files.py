"""Candles from files: every format gives the same candles, and what is broken is said with its place."""

import csv
import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bot.errors import UsageError
from bot.market import Candle, read_candles
from bot.simulator import generate_candles
from tests.conftest import REAL
from tests.harness import HOUR

CANDLES = generate_candles(50, seed=9, holes=0.05, quiet=0.05)
ROWS = [list(candle[:6]) for candle in CANDLES]
SHORT = ("t", "o", "h", "l", "c", "v")
LONG = ("timestamp", "open", "high", "low", "close", "volume")


def text(columns: tuple[str, ...], rows: list[list[Any]]) -> str:
    return "\n".join([",".join(columns), *(",".join(map(repr, row)) for row in rows)]) + "\n"


def milliseconds() -> list[list[Any]]:
    return [[row[0] * 1000, *row[1:]] for row in ROWS]


def parquet(path: Path, columns: tuple[str, ...], rows: list[list[Any]]) -> None:
    pq.write_table(pa.table(dict(zip(columns, map(list, zip(*rows, strict=True)), strict=True))), path)


FORMATS: dict[str, Callable[[Path], object]] = {
    "short.csv": lambda path: path.write_text(text(SHORT, ROWS)),
    "ccxt.csv": lambda path: path.write_text(text(LONG, milliseconds())),
    "shuffled.csv": lambda path: path.write_text(text(SHORT, ROWS[::-1] + ROWS[:3])),
    "wide.csv": lambda path: path.write_text(text(("x", *SHORT[::-1]), [["note", *row[::-1]] for row in ROWS])),
    "crlf.CSV": lambda path: path.write_text(text(SHORT, ROWS).replace("\n", "\r\n")),
    "floats.csv": lambda path: path.write_text(text(SHORT, [[float(row[0]), *row[1:]] for row in ROWS])),
    "packed.csv.gz": lambda path: path.write_bytes(gzip.compress(text(SHORT, ROWS).encode())),
    "article.json": lambda path: path.write_text(json.dumps(ROWS)),
    "ccxt.json": lambda path: path.write_text(json.dumps(milliseconds())),
    "short.parquet": lambda path: parquet(path, SHORT, ROWS),
    "ccxt.parquet": lambda path: parquet(path, LONG, milliseconds()),
}


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_gives_the_same_candles_to_the_last_bit(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    FORMATS[name](path)
    assert read_candles(path, HOUR) == CANDLES


def first_row(**changes: Any) -> str:
    return text(SHORT, [[changes.get(name, cell) for name, cell in zip(SHORT, ROWS[0], strict=True)], *ROWS[1:]])


BROKEN: dict[str, tuple[str | bytes, str]] = {
    "empty.csv": ("", "its columns are missing"),
    "header.csv": ("t,o,h,l,c,v\n", "holds no candles"),
    "columns.csv": ("t,o,h,l,close,v\n1,2,3,4,5,6\n", "its columns are t, o, h, l, close, v"),
    "text.csv": (first_row(c="much"), "row 1: could not convert"),
    "missing.csv": (text(SHORT, [[1, 2, 3]]), "row 1: could not convert"),
    "nan.csv": (first_row(c=float("nan")), "not finite"),
    "time_nan.csv": (first_row(t=float("nan")), "row 1"),
    "time_inf.csv": (first_row(t=float("inf")), "row 1"),
    "time_far.csv": (first_row(t=1e300), "since 1970"),
    "time_before.csv": (first_row(t=-3600), "since 1970"),
    "half_second.csv": (first_row(t=0.5), "not whole seconds"),
    "misaligned.csv": (first_row(t=60), "multiple of 3600"),
    "negative.csv": (first_row(l=-1.0), "not positive"),
    "upside_down.csv": (first_row(h=1.0), "outside of high and low"),
    "conflict.csv": (text(SHORT, [ROWS[0], [*ROWS[0][:5], 77.0]]), "appears twice"),
    "binary.csv": (b"t,o,h,l,c,v\n\xff\xfe\x00", "no usable candles"),
    "truncated.csv.gz": (gzip.compress(text(SHORT, ROWS).encode())[:-20], "no usable candles"),
    "plain.csv.gz": (text(SHORT, ROWS), "no usable candles"),
    "spoilt.csv.gz": (b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03" + b"\xff" * 50, "no usable candles"),
    "object.json": ('{"t": 1}', "not a list"),
    "rows.json": ("[1, 2, 3]", "row 1 is not six numbers"),
    "short.json": ("[[0, 1, 2]]", "it is 3 numbers, not six"),
    "null.json": ("[[0, 1, 2, 1, null, 5]]", "row 1 is not six numbers"),
    "empty.json": ("[]", "holds no candles"),
    "broken.json": ("[[0, 1", "no usable candles"),
    "deep.json": ("[" * 100_000, "no usable candles"),
    "broken.parquet": ("PAR1 and no more", "no usable candles"),
    "candles.xlsx": ("", "candles are read from .csv, .csv.gz"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_broken_is_said_in_one_sentence(tmp_path: Path, name: str) -> None:
    content, words = BROKEN[name]
    path = tmp_path / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(UsageError) as failure:
        read_candles(path, HOUR)
    assert words in str(failure.value)
    assert name in str(failure.value)
    assert "\n" not in str(failure.value)


def test_a_file_that_is_not_there_or_a_folder(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such file"):
        read_candles(tmp_path / "nowhere.csv", HOUR)
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(UsageError, match="no usable candles"):
        read_candles(tmp_path / "folder.csv", HOUR)


def test_times_of_a_table_of_dates_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "dates.parquet"
    rows = [[pa.scalar(row[0], pa.timestamp("s")).as_py(), *row[1:]] for row in ROWS]
    parquet(path, SHORT, rows)
    with pytest.raises(UsageError, match="row 1 is not six numbers"):
        read_candles(path, HOUR)


def test_the_real_candles_are_read_as_they_are_told(real_candles: list[Candle]) -> None:
    with REAL.open() as file:
        rows = [list(map(float, row.values())) for row in csv.DictReader(file)]
    assert [list(candle[:6]) for candle in real_candles] == rows
    assert len(rows) == 45_486
