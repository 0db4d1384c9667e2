"""`python -m tests.bench_models`, part of `make bench`: what a swap and what ten challengers cost a bar. Ratios within
one run; nothing is asserted.
"""

import logging
import statistics
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import msgspec
import structlog
from safetensors.numpy import load as load_tensors

import bot.service.poller
from bot.clock import Clock, read_clock
from bot.ledger import open_writer
from bot.market import Feed
from bot.model import (
    Manifest,
    Model,
    build_ensemble,
    get_features,
    registry,
    save_model,
)
from bot.service import Markets, Poller, TraderWatcher, Waiter, run
from bot.service.traders import load_traders
from bot.settings import Settings
from bot.simulator import LoopbackExchange, generate_candles
from tests.harness import HOUR, Dial, busy_model, poll, settings_of

WARMUP = 500
CHALLENGERS = 10
BARS = 300
SWAP_BARS = 40
SPEED = 3600  # a bar a second


def main() -> None:
    """Print every figure."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    with tempfile.TemporaryDirectory() as folder:
        here = Path(folder)
        challengers(here)
        swaps(here)


def _registry(folder: Path) -> tuple[Path, list[str]]:
    """A registry with a model that trades a lot and ten that differ from it in one weight, and their ids."""
    first = busy_model()
    models = [first, *(_nudged(first, n + 1) for n in range(CHALLENGERS))]
    for model in models:
        save_model(model, folder / "models" / model.model_id)
    pointer = folder / "models" / "current"
    registry.promote(pointer, first.model_id, 0.0)
    return pointer, [model.model_id for model in models]


def _nudged(model: Model, by: int) -> Model:
    tensors = {name: tensor.copy() for name, tensor in load_tensors(model.weights).items()}
    tensors["0/fc_v.bias"] += by
    manifest = msgspec.json.decode(model.manifest, type=Manifest)
    members = [
        {name.partition("/")[2]: tensor for name, tensor in tensors.items() if name.startswith(f"{n}/")}
        for n in range(4)
    ]
    return build_ensemble(members, manifest.network, get_features(manifest.features.name))


def _settings(url: str, folder: Path, ledger: str, pointer: Path) -> Settings:
    return settings_of(
        exchange={"base_url": url},
        ledger={"url": f"sqlite:///{folder / ledger}"},
        policy={"model": str(pointer)},
        schedule={"warmup_bars": WARMUP, "poll_delay_seconds": 0},
    )


def challengers(folder: Path) -> None:
    """A poll with one new bar, request and commit included: one account, and eleven, turn by turn in one run."""
    pointer, ids = _registry(folder / "challengers")
    candles = generate_candles(WARMUP + BARS + 100, 1, holes=0.0)
    dial = Dial(candles[WARMUP + 50].bar_time + HOUR + 30.0)
    with LoopbackExchange(candles, dial.clock) as exchange:
        pollers = []
        for ledger in ("one.sqlite", "eleven.sqlite"):
            settings = _settings(exchange.url, folder, ledger, pointer)
            feed = Feed(settings.exchange, dial.clock)
            pollers.append(Poller(settings, dial.clock, open_writer(settings.ledger.url), load_traders(settings), feed))
            for model_id in ids[1:]:
                registry.shadow(pointer, model_id)
        times: list[list[float]] = [[], []]
        for _ in range(BARS):
            for poller, taken in zip(pollers, times, strict=True):
                first = time.perf_counter()
                poll(poller)
                taken.append(1000 * (time.perf_counter() - first))
            dial.now += HOUR
        for poller in pollers:
            poller.ledger.close()
    alone, beside = (statistics.median(taken[1:]) for taken in times)
    print(
        f"a bar, from request to commit: {alone:.1f} ms with one account, {beside:.1f} ms with ten challengers beside "
        f"it, {beside / alone:.2f} times as long (medians of {BARS - 1})"
    )


def swaps(folder: Path) -> None:
    """From a bar's due time to its log line, in one run of the daemon's loop, turn by turn: without a promotion, with
    one while the bar forms, and with one at the very moment that it is due.
    """
    pointer, ids = _registry(folder / "swaps")
    candles = generate_candles(WARMUP + SWAP_BARS + 200, 1, holes=0.0)
    clock = read_clock(f"@{candles[WARMUP + 100].bar_time + HOUR - 1}x{SPEED}")
    stamps: list[tuple[int, float]] = []
    before = bot.service.poller.log_bar

    def stamped(entry: Any) -> None:
        stamps.append((entry.step.decision.bar_time, clock.now()))

    bot.service.poller.log_bar = stamped
    with LoopbackExchange(candles, clock) as exchange:
        settings = _settings(exchange.url, folder, "swaps.sqlite", pointer)
        ledger = open_writer(settings.ledger.url)
        models = TraderWatcher(settings)
        waiter, markets = Waiter(), Markets(models, clock, ledger)
        promoter = threading.Thread(target=_promote, args=(waiter, pointer, ids, clock), daemon=True)
        promoter.start()
        run(markets, 0.0, waiter)
        promoter.join()
        ledger.close()
    bot.service.poller.log_bar = before
    late = {bar: 1000 * clock.real(at - bar - HOUR) for bar, at in stamps[2:]}
    kinds = [[ms for bar, ms in late.items() if bar // HOUR % 3 == kind] for kind in range(3)]
    usual, pending, same = (statistics.median(kind) for kind in kinds)
    print(
        f"a bar, from due to logged: {usual:.1f} ms without a swap, {pending:.1f} ms ({pending / usual:.2f} times) "
        f"after a promotion while it formed, {same:.1f} ms ({same / usual:.2f} times) with one as it is due "
        f"(medians of {min(map(len, kinds))}; slowest {max(kinds[0]):.0f}, {max(kinds[1]):.0f}, {max(kinds[2]):.0f} ms)"
    )


def _promote(waiter: Waiter, pointer: Path, ids: list[str], clock: Clock) -> None:
    """While each third bar forms, and right before each third one closes."""
    first = int(clock.now()) // HOUR
    for hour in range(first + 1, first + SWAP_BARS):
        kind = hour % 3
        if kind:
            moment = (hour + (0.3 + 0.05 * (hour % 9) if kind == 1 else 1.0)) * HOUR
            time.sleep(max(clock.real(moment - clock.now()) - (0.0 if kind == 1 else 0.002), 0.0))
            registry.promote(pointer, ids[hour % len(ids)], clock.now())
    waiter.stop()


if __name__ == "__main__":
    main()
