"""Files of candles, through the commands that people use."""

import gzip
import json
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.clock import utc
from bot.errors import UsageError
from bot.market import Candle, read_candles
from training.cli import main
from training.commands.common import utc_date
from training.data import Origin, between, describe, read_file, sha256, write_file

Walk = Callable[..., list[Candle]]
HERE = Origin("bitfinex", "BTC/USD", "1h")


@pytest.mark.parametrize("ending", ["parquet", "csv", "csv.gz"])
def test_what_is_written_is_read(walk: Walk, tmp_path: Path, ending: str) -> None:
    path = tmp_path / "new" / f"candles.{ending}"
    candles = walk(30)
    write_file(path, candles, HERE)
    origin = HERE if ending == "parquet" else Origin("", "", "1h")
    assert read_file(path) == (candles, origin)
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


def test_parquet_tells_where_its_candles_are_from(walk: Walk, tmp_path: Path) -> None:
    candles = walk(10)
    write_file(tmp_path / "candles.parquet", candles, HERE)
    metadata = pq.read_schema(tmp_path / "candles.parquet").metadata
    assert [metadata[name] for name in (b"exchange", b"symbol", b"timeframe")] == [b"bitfinex", b"BTC/USD", b"1h"]
    assert metadata[b"sha256"].decode() == sha256(candles)


def test_altered_parquet_is_refused(walk: Walk, tmp_path: Path) -> None:
    path = tmp_path / "candles.parquet"
    candles = walk(10)
    write_file(path, candles, HERE)
    table = pq.read_table(path)
    pq.write_table(table.slice(1), path)
    with pytest.raises(UsageError, match="SHA-256 differs"):
        read_file(path)
    with pytest.raises(UsageError, match="candles of 1h, not of 5m"):
        read_file(path, "5m")


def test_the_digest_is_of_the_candles_not_of_the_file(walk: Walk, tmp_path: Path) -> None:
    candles = walk(20)
    for ending in ("csv", "csv.gz", "parquet"):
        write_file(tmp_path / f"candles.{ending}", candles, HERE)
        assert sha256(read_candles(tmp_path / f"candles.{ending}", 3600)) == sha256(candles)
    assert sha256(candles[1:]) != sha256(candles)


def test_describe_finds_gaps_silence_and_extremes() -> None:
    prices = [100.0, 110.0, 55.0, 55.0, 60.0]
    hours = [0, 1, 2, 5, 6]
    volumes = [1.0, 3.0, 0.0, 2.0, 5.0]
    candles = [Candle(3600 * h, p, p * 1.1, p * 0.9, p, v) for h, p, v in zip(hours, prices, volumes, strict=True)]
    facts = describe(candles, HERE)
    assert (facts["candles"], facts["missing"], facts["zero_volume"]) == (5, 2, 1)
    assert facts["gaps"] == [{"from": "1970-01-01T03:00:00Z", "bars": 2}]
    assert facts["largest_fall"] == {"value": pytest.approx(-0.693147, abs=1e-6), "at": "1970-01-01T02:00:00Z"}
    assert facts["largest_rise"]["at"] == "1970-01-01T01:00:00Z"
    assert facts["largest_volume_change_pct"] == pytest.approx(200)
    assert facts["lowest"] == {"value": 55 * 0.9, "at": "1970-01-01T02:00:00Z"}
    assert facts["highest"]["value"] == 110 * 1.1


def test_one_candle_is_described() -> None:
    facts = describe([Candle(0, 1.0, 1.0, 1.0, 1.0, 0.0)], HERE)
    assert (facts["largest_fall"], facts["largest_volume_change_pct"], facts["log_return_std"]) == (None, None, 0)


def test_the_real_file_is_as_its_description_says(real_candles: list[Candle]) -> None:
    facts = describe(real_candles, Origin(timeframe="1h"))
    assert (facts["candles"], facts["missing"], facts["zero_volume"], len(facts["gaps"])) == (45_486, 10, 57, 4)
    assert (facts["first"], facts["last"]) == ("2017-10-09T09:00:00Z", "2022-12-18T00:00:00Z")
    assert [facts[name]["value"] for name in ("largest_fall", "largest_rise")] == pytest.approx(
        [-0.190, 0.181], abs=5e-4
    )
    assert facts["log_return_std"] == pytest.approx(0.0088, abs=5e-5)


def test_import_reads_the_articles_json(walk: Walk, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    candles = walk(12)
    (tmp_path / "old.json").write_text(json.dumps([candle[:6] for candle in candles]))
    out = tmp_path / "new.parquet"
    assert main(["import", str(tmp_path / "old.json"), "--out", str(out), "--symbol", "BTC/USD", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["candles"] == 12
    assert read_file(out) == (candles, Origin("", "BTC/USD", "1h"))


def test_candles_for_people_and_for_machines(walk: Walk, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_file(tmp_path / "candles.parquet", walk(12), HERE)
    assert main(["candles", str(tmp_path / "candles.parquet")]) == 0
    shown = capsys.readouterr().out
    assert "bitfinex" in shown
    assert "zero volume" in shown
    assert main(["candles", str(tmp_path / "candles.parquet"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["gaps"] == []


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("missing.csv", None, "there is no such file"),
        ("words.csv", b"t,o,h,l,c,v\n0,1,1,1,one,1\n", "row 1"),
        ("other.csv", b"a,b\n1,2\n", "its columns are a, b"),
        ("empty.csv", b"t,o,h,l,c,v\n", "holds no candles"),
        ("high.csv", b"t,o,h,l,c,v\n0,2,1,1,1,1\n", "open or close outside"),
        ("cut.csv.gz", gzip.compress(b"t,o,h,l,c,v\n" * 99, mtime=0)[:30], "no usable candles"),
        ("not.parquet", b"PAR1", "not a readable Parquet file"),
        ("candles.txt", b"", "candles are read from"),
    ],
)
def test_a_file_that_cannot_be_used_gets_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, content: bytes | None, said: str
) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    assert main(["candles", str(tmp_path / name)]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert said in captured.err
    assert name in captured.err
    assert captured.err.count("\n") == 1


def test_nothing_is_left_where_nothing_can_be_written(walk: Walk, tmp_path: Path) -> None:
    (tmp_path / "taken.csv").mkdir()
    with pytest.raises(UsageError, match="cannot be written"):
        write_file(tmp_path / "taken.csv", walk(3), HERE)
    assert [entry.name for entry in tmp_path.iterdir()] == ["taken.csv"]
    with pytest.raises(UsageError, match=r"written to .parquet, .csv, .csv.gz"):
        write_file(tmp_path / "candles.json", walk(3), HERE)


def test_between_includes_the_start_and_not_the_end(walk: Walk) -> None:
    candles = walk(10)
    chosen = between(candles, candles[2].bar_time, candles[5].bar_time)
    assert chosen == candles[2:5]
    assert between(candles, None, None) == candles
    with pytest.raises(UsageError, match="no candles between"):
        between(candles, candles[-1].bar_time + 1, None)


@given(st.integers(0, 4_000_000_000))
def test_dates_are_utc_and_come_back(bar_time: int) -> None:
    assert utc_date(utc(bar_time)) == bar_time


def test_dates_of_other_forms() -> None:
    assert utc_date("2021-01-01") == utc_date("2021-01-01T00:00") == utc_date("2021-01-01T01:00+01:00") == 1_609_459_200
    with pytest.raises(SystemExit) as stop:
        main(["download", "--since", "yesterday", "--out", "x.csv"])
    assert stop.value.code == 2
