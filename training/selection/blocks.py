"""Blocks of time: what a member learns from, and what is kept from it to judge it by."""

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from bot.errors import UsageError
from bot.market import fill_gaps
from bot.report import stretches
from training.data import Market, numbers
from training.environment import TrainingMarket


class Block(NamedTuple):
    """The bars with `first <= bar_time < end`."""

    first: int
    end: int


def blocks_of(markets: Sequence[Market], count: int) -> list[Block]:
    """`count` blocks, one after the other, the same for all markets, with as many candles each as can be."""
    times = np.sort(np.concatenate([[candle.bar_time for candle in market.candles] for market in markets]))
    places = np.linspace(0, len(times), count + 1).round().astype(int)[1:-1]
    cuts = [int(times[0]), *(int(times[place]) for place in places), int(times[-1]) + markets[0].bar]
    return [Block(first, end) for first, end in pairwise(cuts)]


def training_markets(
    markets: Sequence[Market], length: int, without: Block | None = None, embargo: int = 0
) -> list[TrainingMarket]:
    """The markets as the trainer takes them: what is seen as the daemon sees it, holes filled with flat candles; what
    is learned from in runs of more than `length` candles without a hole, so that no return bridges one. Nothing is
    learned from the bars of the block `without`, nor from `embargo` seconds before and after it.

    Raises UsageError where no such run is left.
    """
    found = []
    for market in markets:
        run = fill_gaps(market.candles, market.bar)
        times = np.array([candle.bar_time for candle in run])
        usable = ~np.array([candle.synthetic for candle in run])
        if without:
            usable &= (times < without.first - embargo) | (times >= without.end + embargo)
        spans = tuple((first, last + 1) for first, last in stretches(usable) if last + 1 - first > length)
        if spans:
            found.append(TrainingMarket(numbers(run), spans))
    if not found:
        part = "outside of each block " if without else ""
        count = sum(len(market.candles) for market in markets)
        raise UsageError(
            f"windows of {length} hours need a longer run of candles without a hole {part}than there is among the "
            f"{count:,} candles: take more candles, or shorter windows (windows.length)"
        )
    return found
