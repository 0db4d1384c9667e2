"""In and out of sample: which bars a model learned from."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.errors import ModelError
from bot.model import in_sample_bars, in_sample_warning, parse_model, save_model, training_span
from bot.simulator import generate_candles
from tests.harness import HOUR, hourhand, model_of


def manifest_of(**training: object) -> str:
    return json.dumps({**json.loads(model_of(1).manifest), "training": training})


@given(st.integers(0, 50), st.integers(0, 50), st.integers(0, 50), st.integers(0, 50))
def test_the_first_and_the_last_training_candle_count(first: int, length: int, start: int, bars: int) -> None:
    last = first + length
    manifest = manifest_of(first_candle=first * HOUR, last_candle=last * HOUR, algorithm="any")
    times = [bar * HOUR for bar in range(start, start + bars)]
    seen = set(range(first, last + 1)) & set(range(start, start + bars))
    assert in_sample_bars(manifest, times) == in_sample_bars(manifest, np.array(times)) == len(seen)


def test_a_manifest_that_does_not_say_counts_nothing() -> None:
    assert in_sample_bars(model_of(1).manifest, [0, HOUR]) == 0
    assert training_span(manifest_of(first_candle=5)) is None


@pytest.mark.parametrize("manifest", ["", "[]", manifest_of(first_candle="yesterday"), "[" * 100_000])
def test_what_is_no_manifest_is_one_sentence(manifest: str) -> None:
    with pytest.raises(ModelError, match="not a model's manifest"):
        training_span(manifest)


def test_the_warning_is_one_line_and_only_where_needed() -> None:
    assert in_sample_warning(0, 10) is None
    assert "all of these bars" in str(in_sample_warning(10, 10))
    assert "3 of these 10 bars" in str(in_sample_warning(3, 10))


def test_replay_counts_the_bars_that_the_model_learned_from(tmp_path: Path) -> None:
    candles = generate_candles(60, seed=2, holes=0)
    model = model_of(1)
    training = {"first_candle": candles[10].bar_time, "last_candle": candles[29].bar_time}
    manifest = json.dumps({**json.loads(model.manifest), "training": training})
    save_model(parse_model(model.weights, manifest), tmp_path / "model")
    with (tmp_path / "candles.csv").open("w") as out:
        out.write("t,o,h,l,c,v\n" + "".join(f"{','.join(map(repr, candle[:6]))}\n" for candle in candles))
    call = ["replay", "--candles", "candles.csv", "--model", "model", "--warmup", "20", "--ledger"]
    done = hourhand(*call, "sqlite:///one.sqlite", "--json", cwd=tmp_path)
    assert json.loads(done.stdout)["in_sample_bars"] == 10
    done = hourhand(*call, "sqlite:///two.sqlite", cwd=tmp_path)
    assert "the model learned from 10 of these 40 bars" in done.stderr
