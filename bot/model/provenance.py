"""What a model learned from: in sample and out of sample."""

from collections.abc import Iterable

import msgspec

from bot.errors import ModelError


class _Training(msgspec.Struct, frozen=True):
    first_candle: int | None = None
    last_candle: int | None = None


class _Manifest(msgspec.Struct, frozen=True):
    training: _Training = _Training()


def training_span(manifest: str) -> tuple[int, int] | None:
    """Bar times of the first and the last candle a model learned from, None where its manifest does not say.

    Raises ModelError where it is not a manifest.
    """
    try:
        training = msgspec.json.decode(manifest, type=_Manifest).training
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise ModelError(f"this is not a model's manifest: {error}") from error
    if training.first_candle is None or training.last_candle is None:
        return None
    return training.first_candle, training.last_candle


def in_sample_bars(manifest: str, bar_times: Iterable[int]) -> int:
    """How many of the bars lie in the span the model learned from; 0 where its manifest names none."""
    span = training_span(manifest)
    return sum(span[0] <= bar_time <= span[1] for bar_time in bar_times) if span else 0


def in_sample_warning(in_sample: int, bars: int) -> str | None:
    """A sentence for people, None where every bar is out of sample."""
    if not in_sample:
        return None
    share = "all of these" if in_sample == bars else f"{in_sample:,} of these {bars:,}"
    return f"in sample: the model learned from {share} bars, so this result does not show how it does on new ones"
