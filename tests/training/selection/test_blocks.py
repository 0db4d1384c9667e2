"""Which hours a member learns from, and which it is judged on."""

from collections.abc import Callable

import numpy as np
import pytest

from bot.errors import UsageError
from bot.market import Candle
from training.data import Market
from training.selection import Block, blocks_of, training_markets

Walk = Callable[..., list[Candle]]
HOUR = 3600


def market(walk: Walk, bars: int, name: str = "a", holes: tuple[int, ...] = (), since: int = 0) -> Market:
    candles = [candle for n, candle in enumerate(walk(bars)) if n >= since and n not in holes]
    return Market(name, "", HOUR, candles)


def test_blocks_hold_as_many_candles_each_over_all_markets(walk: Walk) -> None:
    markets = [market(walk, 1000), market(walk, 1000, "b", since=600)]
    blocks = blocks_of(markets, 4)
    times = np.array([candle.bar_time for one in markets for candle in one.candles])
    counts = [int(((times >= block.first) & (times < block.end)).sum()) for block in blocks]
    assert sum(counts) == 1400
    assert max(counts) - min(counts) <= 2
    assert [block.end for block in blocks[:-1]] == [block.first for block in blocks[1:]]


def test_nothing_is_learned_from_the_block_and_around_it(walk: Walk) -> None:
    one = market(walk, 1000)
    start = one.candles[0].bar_time
    block = Block(start + 400 * HOUR, start + 600 * HOUR)
    (learned,) = training_markets([one], 20, block, 50 * HOUR)
    assert learned.spans == ((0, 350), (650, 1000))
    assert len(learned.candles) == 1000


def test_no_span_bridges_a_hole(walk: Walk) -> None:
    (learned,) = training_markets([market(walk, 300, holes=(100, 101, 250))], 20)
    assert learned.spans == ((0, 100), (102, 250), (251, 300))
    assert len(learned.candles) == 300  # what is seen has flat candles in the holes, as in the daemon
    np.testing.assert_array_equal(learned.candles[100, :4], np.full(4, learned.candles[99, 3]))


def test_spans_shorter_than_a_window_are_left_out(walk: Walk) -> None:
    (learned,) = training_markets([market(walk, 300, holes=(100, 110))], 20)
    assert learned.spans == ((0, 100), (111, 300))


def test_too_few_candles_are_named(walk: Walk) -> None:
    with pytest.raises(UsageError, match="windows of 500 hours"):
        training_markets([market(walk, 400)], 500)
