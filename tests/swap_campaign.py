"""`python -m tests.swap_campaign --promotions N`: a daemon trades through a replayed year while models are promoted and
rolled back, bad ones among them, and it is killed at random moments; every bar is then decided by one whole good model.
"""

import argparse
import json
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
from sqlalchemy import select

from bot.clock import Clock, read_clock
from bot.errors import ModelError
from bot.ledger import Ledger, open_reader, tables, verify
from bot.ledger.reading import read_events
from bot.model import Model, read_pointer, registry, save_model
from bot.model.features import RETURNS
from bot.model.registry import Pointer, Promotion
from bot.simulator import LoopbackExchange, generate_candles
from tests.bad_models import KINDS, spoil
from tests.forks import Forks, fast_daemon
from tests.harness import HOUR, model_of

BARS_A_SECOND = 60.0
BAD, ROLLBACK, KILL, HASTE, KILLED_OPERATOR = 0.3, 0.25, 0.4, 0.2, 0.15  # how likely each is at a change
_DEADLINE = 30.0  # seconds
_SPARE = 2000  # candles for what the machine takes longer than the clock does


@dataclass
class Campaign:
    """A daemon, the person who swaps its models, and what came of it."""

    folder: Path
    environment: dict[str, str]
    clock: Clock
    chance: random.Random
    daemon: Forks
    operator: Forks
    good: list[Model]
    counts: Counter[str] = field(default_factory=Counter)
    bad: list[str] = field(default_factory=list)
    accepted: list[str] = field(default_factory=list)
    promoted: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.promoted.add(self.good[0].model_id)

    @property
    def pointer(self) -> Path:
        """The registry's."""
        return self.folder / "models" / "current"

    def change(self, until: float) -> None:
        """One promotion or rollback at a random moment before `until`, perhaps with a kill before it or right after it,
        and perhaps with a bad model put in first.
        """
        left = max(until - self.clock.now(), 0.0)
        kill_at, moment = (self.clock.now() + self.chance.random() * left for _ in range(2))
        killed = self.chance.random()
        if killed < KILL:
            self._sleep_to(min(kill_at, moment))
            self._kill()
        self._sleep_to(moment)
        if self.chance.random() < BAD:
            self._promote_bad()
        before, said = read_pointer(self.pointer), self._said()
        if before.before and self.chance.random() < ROLLBACK:
            self._operate("rollback")
        else:
            others = [model.model_id for model in self.good if model.model_id != before.model_id]
            self._operate("promote", self.chance.choice(others))
        now = read_pointer(self.pointer)
        self.promoted.add(now.model_id)
        if killed > 1 - KILL:
            time.sleep(self.chance.uniform(0.0, 0.1))  # in the middle of taking it up
            self._kill()
        elif now != before and self.chance.random() > HASTE:
            self._heard(said, '"model', now.model_id)

    def _operate(self, *action: str) -> None:
        self.counts[action[0]] += 1
        if self.chance.random() < KILLED_OPERATOR:
            self.operator.start("models", *action, environment=self.environment)
            time.sleep(self.chance.uniform(0.0, 0.02))
            self.operator.kill()
            self.counts["killed"] += 1
        else:
            self._done(*action)

    def _done(self, *action: str) -> None:
        if self.operator.run("models", *action, environment=self.environment):
            raise SystemExit(f"models {' '.join(action)} failed:\n{self.operator.log.read_text()[-2000:]}")

    def _promote_bad(self) -> None:
        """A bad model is refused at the door. Put in all the same, as a broken disk or a hand would, it is refused by
        the daemon that runs or starts; and rolled back.
        """
        kind, starts = self.chance.choice(sorted(KINDS)), self.chance.random() < KILL
        name = f"bad{len(self.bad):013x}"
        self.bad.append(f"{kind} as {name}")
        spoil(self.chance.choice(self.good), kind, self.pointer.parent / name)
        if self.operator.run("models", "promote", name, environment=self.environment) != ModelError.exit_code:
            self.accepted.append(f"{name}, by promote")
        if starts:
            self.daemon.kill()
            self.counts["kills"] += 1
        said, now = self._said(), read_pointer(self.pointer)
        before = (*now.before, Promotion(now.model_id, now.since))
        part = self.pointer.with_name("by-hand")
        part.write_bytes(msgspec.json.encode(Pointer(name, self.clock.now(), before)))
        part.replace(self.pointer)
        if starts:
            self.daemon.start("run", environment=self.environment)
        if not self._heard(
            said, f"models/{name} cannot be used", f"no readable model in {self.pointer.parent / name}:"
        ):
            self.accepted.append(f"{name}, by the daemon")
        ended = "hourhand: " in self._since(said)
        if ended and self.daemon.wait() != ModelError.exit_code:
            self.accepted.append(f"{name}, by the exit code")
        self._done("rollback")
        if ended:
            self.daemon.start("run", environment=self.environment)

    def _heard(self, said: int, *words: str) -> bool:
        """Wait until the daemon's log has one of the words after its first `said` bytes."""
        deadline = time.monotonic() + _DEADLINE
        while not (heard := any(word in self._since(said) for word in words)) and time.monotonic() < deadline:
            time.sleep(0.01)
        return heard

    def _said(self) -> int:
        return self.daemon.log.stat().st_size if self.daemon.log.exists() else 0

    def _since(self, said: int) -> str:
        with self.daemon.log.open("rb") as log:
            log.seek(said)
            return log.read().decode(errors="replace")

    def _sleep_to(self, moment: float) -> None:
        time.sleep(max(self.clock.real(moment - self.clock.now()), 0.0))

    def _kill(self) -> None:
        self.daemon.kill()
        self.counts["kills"] += 1
        self.daemon.start("run", environment=self.environment)


def campaign(
    promotions: int,
    bars: int,
    seed: int,
    folder: Path,
    *,
    warmup: int = 500,
    progress: Callable[[int], object] = lambda _changes: None,
) -> dict[str, Any]:
    """`promotions` promotions and rollbacks, good and bad, over `bars` bars after a warm-up.

    The clock runs fast; candles are traded on however old they are, so that a row depends on the candles and the model
    alone. `accepted` names bad models that were not refused by name, `by_others` counts bars decided by anything but a
    promoted good model, `unmarked` the changes of model without exactly one `model_swapped` that tells of it.
    """
    candles = generate_candles(bars + warmup + _SPARE, seed, holes=0.002)
    start = candles[warmup + 50].bar_time
    time_zero = f"@{start}x{HOUR * BARS_A_SECOND:.0f}@{time.time():f}"
    clock = read_clock(time_zero)
    with (
        LoopbackExchange(candles, clock) as exchange,
        Forks(folder / "log") as daemon,
        Forks(folder / "said") as person,
    ):
        environment = fast_daemon(
            time_zero, exchange.url, folder / "ledger.sqlite", folder / "models" / "current", warmup
        )
        good = [model_of(seed) for seed in range(4)] + [model_of(seed, RETURNS, "heads") for seed in range(4)]
        for model in good:
            save_model(model, folder / "models" / model.model_id)
        made = Campaign(folder, environment, clock, random.Random(seed), daemon, person, good)
        registry.promote(made.pointer, good[0].model_id, start)
        daemon.start("run", environment=environment)
        made._heard(0, '"event": "bar"')
        now = clock.now()
        for number in range(promotions):
            made.change(now + (number + 1) * bars * HOUR / promotions)
            progress(number + 1)
        end = now + bars * HOUR
        made._sleep_to(end)
        daemon.kill()
        still = f"@{min(clock.now(), candles[-1].bar_time + 1.5 * HOUR):.0f}"
        exchange.clock = read_clock(still)
        if daemon.run("run", "--once", environment=environment | {"HOURHAND_CLOCK": still}):
            raise SystemExit(f"the last run failed:\n{daemon.log.read_text()[-2000:]}")
    ledger = open_reader(environment["HOURHAND_LEDGER__URL"])
    result = _judged(ledger, made)
    ledger.close()
    return result


def _judged(ledger: Ledger, made: Campaign) -> dict[str, Any]:
    d = tables.decisions.c
    with ledger.reading() as connection:
        rows = connection.execute(select(d.bar_time, d.model_id).order_by(d.bar_time)).all()
        swaps = [(e["bar_time"], e["before"], e["now"]) for e in read_events(connection, "model_swapped")]
        rejected = len(read_events(connection, "model_rejected"))
        verdict = verify(connection)
    changes = [(now[0], before[1], now[1]) for before, now in pairwise(rows) if before[1] != now[1]]
    return {
        "promotions": made.counts["promote"],
        "rollbacks": made.counts["rollback"],
        "of_them_killed": made.counts["killed"],
        "bad_models": len(made.bad),
        "accepted": made.accepted,
        "rejected_while_running": rejected,
        "kills": made.counts["kills"],
        "bars": len(rows),
        "swaps": len(changes),
        "unmarked": len(set(changes) ^ set(swaps)) + len(swaps) - len(set(swaps)),
        "models": len({row[1] for row in rows}),
        "by_others": sum(row[1] not in made.promoted for row in rows),
        "verify_differences": len(verdict.differences),
    }


def main() -> int:
    """Run a campaign and print what came of it; 1 where something was not as it must be."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--promotions", type=int, default=100, metavar="N", help="and rollbacks, how many (100)")
    parser.add_argument("--bars", type=int, default=8760, metavar="N", help="hours to trade through (8760, a year)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of candles, changes and moments (0)")
    parsed_args = parser.parse_args()

    def show(changes: int) -> None:
        print(f"\r{changes} of {parsed_args.promotions} promotions and rollbacks", end="", file=sys.stderr, flush=True)

    with tempfile.TemporaryDirectory() as folder:
        result = campaign(parsed_args.promotions, parsed_args.bars, parsed_args.seed, Path(folder), progress=show)
    print(file=sys.stderr)
    print(json.dumps(result))
    return int(bool(result["accepted"] or result["unmarked"] or result["by_others"] or result["verify_differences"]))


if __name__ == "__main__":
    sys.exit(main())
