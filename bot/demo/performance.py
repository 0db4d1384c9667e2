"""The demo from its first line to its last: the play, then what the ledger shows, and whether all of it was true."""

import json
import signal
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bot.demo.chart import chart
from bot.demo.play import HOUR, Plot, Stage, Story, play, stage
from bot.demo.processes import call, timed_doctor
from bot.demo.voice import Voice
from bot.errors import HourhandError
from bot.ledger import open_reader, reading
from bot.settings import Settings
from bot.trading import MISSED, SYNTHETIC, Decision

_TRADES_SHOWN = 6


def perform(folder: Path, settings: Settings, voice: Voice, plot: Plot) -> dict[str, Any]:
    """Play the demo in `folder`, show what came of it, and return it: numbers, and `checks`, each true or false.

    Raises HourhandError where it could not be played to its end.
    """
    with stage(folder, settings, plot) as the_stage:
        voice.tell(f"An exchange opens on this machine: generated prices at {the_stage.exchange.url}.")
        seconds = timed_doctor(the_stage.config, the_stage.still_clock)
        voice.tell("hourhand doctor finds settings, ledger, model, exchange and clock in order.")
        speed = the_stage.start_clock(seconds)
        voice.tell(f"The daemon starts. Its clock runs {speed:,.0f} times too fast: {speed / HOUR:.0f} bars a second.")
        voice.header()
        story = play(the_stage, voice.tell, voice.line)
        voice.tell("Two weeks are over.")
        for command in (["status"], ["trades", "--last", str(_TRADES_SHOWN)]):
            voice.command(" ".join(command), _output(the_stage, *command))
        decisions, fills = _rows(the_stage.ledger_url)
        voice.show(chart(decisions, colours=voice.colours))
        verdict = json.loads(_output(the_stage, "verify", "--json"))
        voice.command("verify", "".join(f"{name:<13}{verdict[name]}\n" for name in ("bars", "differences")))
    return summary(plot, story, decisions, fills, verdict["differences"])


def _output(the_stage: Stage, *command: str) -> str:
    done = call(*command, config=the_stage.config, clock=the_stage.still_clock)
    if not done.stdout:
        raise HourhandError(f"the demo's `hourhand {' '.join(command)}` ended with {done.returncode}: {done.stderr}")
    return done.stdout


def _rows(url: str) -> tuple[list[Decision], int]:
    account = Settings().account.name
    ledger = open_reader(url)
    with ledger.reading() as connection:
        decisions = [stored.decision for stored in reading.read_decisions(connection, account)]
        fills = len(reading.read_fills(connection, account))
    ledger.close()
    return decisions, fills


def summary(plot: Plot, story: Story, decisions: Sequence[Decision], fills: int, differences: int) -> dict[str, Any]:
    """What happened and what the ledger says of it, held against each other."""
    times = [decision.bar_time for decision in decisions]
    reasons = Counter(decision.reason for decision in decisions)
    missed = [decision.bar_time for decision in decisions if decision.reason == MISSED]
    synthetic = [decision.bar_time for decision in decisions if decision.reason == SYNTHETIC]
    went, came = story.dark
    checks = {
        "every bar decided, exactly once": times == list(range(story.first, story.first + plot.bars * HOUR, HOUR))
        and all(story.said[bar_time] == 1 for bar_time in times),
        "missed in the outage, and only there": bool(missed)
        and went - 2 * HOUR <= missed[0] <= missed[-1] <= came
        and story.events["exchange_error"] > 0
        and story.events["exchange_recovered"] > 0,
        "killed in the middle of a bar, nothing half written": story.killed_with == -signal.SIGKILL
        and not story.half_bar_left,
        "started again with that very bar": story.resumed_at == story.last_before_kill + HOUR,
        "the hour that the exchange lacks is there, not traded on": synthetic == [story.hole],
        "stopped by SIGTERM, between two bars": story.stopped_with == 0,
        "every row derived again, bit for bit": differences == 0,
    }
    newest = decisions[-1]
    return {
        "ok": all(checks.values()),
        "bars": len(decisions),
        "first_bar_time": times[0],
        "last_bar_time": times[-1],
        "trades": fills,
        "missed": reasons[MISSED],
        "synthetic": reasons[SYNTHETIC],
        "killed_bar_time": story.last_before_kill + HOUR,
        "resumed_bar_time": story.resumed_at,
        "value": newest.value,
        "hold_value": newest.hold_value,
        "excess": newest.value - newest.hold_value,
        "model_id": newest.model_id,
        "differences": differences,
        "checks": checks,
    }
