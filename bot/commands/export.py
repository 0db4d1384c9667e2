"""`hourhand export`."""

import csv
import json
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, TextIO

from sqlalchemy import select

from bot.console import add_config, add_json, print_result, read_settings
from bot.errors import UsageError
from bot.extras import extras_required
from bot.ledger import reading_from, tables
from bot.output import output_is_full

Rows = Sequence[Sequence[Any]]
TABLES: Final = ("candles", "decisions", "fills", "accounts", "models", "states", "events")


def add_arguments(parser: ArgumentParser) -> None:
    """Add the arguments of `export`."""
    add_config(parser)
    add_json(parser)
    parser.add_argument("table", choices=TABLES, metavar="TABLE", help=", ".join(TABLES))
    parser.add_argument("--format", choices=("csv", "json", "parquet"), help="default: the ending of --out, else csv")
    parser.add_argument("--out", type=Path, metavar="FILE", help="default: standard output")
    parser.epilog = (
        "Bytes (weights, hidden states) are written in hexadecimal.\n\n"
        "example: hourhand export decisions --out decisions.csv"
    )


def call(parsed_args: Namespace) -> int:
    """Write one table of the ledger, in the order of its primary key."""
    settings, _ = read_settings(parsed_args)
    ending = parsed_args.out.suffix.lstrip(".") if parsed_args.out else ""
    form = parsed_args.format or (ending if ending in _WRITERS else "csv")
    if parsed_args.out is None and (form == "parquet" or parsed_args.json):
        raise UsageError("export: --format parquet and --json need --out FILE")
    table = tables.metadata.tables[parsed_args.table]
    with reading_from(settings.ledger.url) as connection:
        found = connection.execute(select(table).order_by(*table.primary_key.columns))
        rows = [[cell.hex() if isinstance(cell, bytes) else cell for cell in row] for row in found]
    try:
        _WRITERS[form](list(table.columns.keys()), rows, parsed_args.out)
    except OSError as error:
        raise UsageError(f"export: {parsed_args.out} cannot be written: {error.strerror}") from error
    if parsed_args.out is None and output_is_full():
        return 1
    if parsed_args.out is not None:
        print_result(
            {"table": parsed_args.table, "rows": len(rows), "out": str(parsed_args.out)}, as_json=parsed_args.json
        )
    return 0


def _csv(columns: Sequence[str], rows: Rows, out: Path | None) -> None:
    def write(file: TextIO) -> None:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(rows)

    _text(write, out)


def _json(columns: Sequence[str], rows: Rows, out: Path | None) -> None:
    _text(lambda file: json.dump([dict(zip(columns, row, strict=True)) for row in rows], file), out)


def _text(write: Callable[[TextIO], object], out: Path | None) -> None:
    if out is None:
        write(sys.stdout)
        return
    with out.open("w", newline="", encoding="utf-8") as file:
        write(file)


def _parquet(columns: Sequence[str], rows: Rows, out: Path | None) -> None:
    with extras_required("Parquet"):
        import pyarrow as pa  # noqa: PLC0415 - an extra
        import pyarrow.parquet as pq  # noqa: PLC0415
    cells = list(zip(*rows, strict=True)) or [()] * len(columns)
    pq.write_table(pa.table(dict(zip(columns, map(list, cells), strict=True))), out)


_WRITERS: Final[dict[str, Callable[[Sequence[str], Rows, Path | None], None]]] = {
    "csv": _csv,
    "json": _json,
    "parquet": _parquet,
}
