"""The demo from its first line to its last: the scenario, what the ledger shows, and its checks."""

import json
import signal
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from sqlalchemy import select

from bot.demo.narrator import Narrator, chart
from bot.demo.processes import call, served_page, timed_doctor, wait_for_signal
from bot.demo.scenario import ACCOUNT, HOUR, Sandbox, Scenario, ScenarioResult, open_sandbox, run_scenario
from bot.errors import HourhandError
from bot.ledger import reading, reading_from, tables
from bot.settings import Settings
from bot.trading import MISSED, SYNTHETIC, Decision

_TRADES_SHOWN = 6


def run_demo(
    folder: Path, settings: Settings, narrator: Narrator, scenario: Scenario, *, with_page: bool = False
) -> dict[str, Any]:
    """Run the demo in `folder`, show what came of it, and return it: numbers, and `checks`, each true or false.
    `with_page` serves the page meanwhile, and afterwards until Ctrl-C.

    Raises HourhandError where it could not be run to its end.
    """
    with open_sandbox(folder, settings, scenario) as sandbox, ExitStack() as stack:
        symbols = f" of {scenario.markets} markets" if scenario.markets > 1 else ""
        narrator.tell(f"An exchange opens on this machine: generated prices{symbols} at {sandbox.exchange.url}.")
        seconds = timed_doctor(sandbox.config, sandbox.still_clock)
        narrator.tell("hourhand doctor finds settings, ledger, model, exchange and clock in order.")
        speed = sandbox.start_clock(seconds)
        narrator.tell(
            f"The daemon starts. Its clock runs {speed:,.0f} times too fast: {speed / HOUR:.0f} bars a second."
        )
        address = stack.enter_context(served_page(sandbox.config, sandbox.clock_text)) if with_page else ""
        if with_page:
            narrator.tell(f"The page is open at {address}: leave it open, and watch the bars arrive.")
        narrator.header()
        result = run_scenario(sandbox, narrator.tell, narrator.line)
        narrator.tell("Two weeks are over.")
        for command in (["status"], ["trades", "--last", str(_TRADES_SHOWN)]):
            narrator.command(" ".join(command), _output(sandbox, *command))
        if scenario.markets > 1:
            narrator.command("compare --pool", _output(sandbox, "compare", "--pool"))
        decisions, fills, others = _rows(sandbox.ledger_url)
        narrator.show(chart(decisions, colours=narrator.colours))
        verdict = json.loads(_output(sandbox, "verify", "--json"))
        narrator.command("verify", "".join(f"{name:<13}{verdict[name]}\n" for name in ("bars", "differences")))
        if with_page:
            narrator.tell(f"The page stays open at {address} until Ctrl-C.")
            wait_for_signal()
    return summary(scenario, result, decisions, fills, verdict["differences"], others)


def _output(sandbox: Sandbox, *command: str) -> str:
    done = call(*command, config=sandbox.config, clock=sandbox.still_clock)
    if not done.stdout:
        raise HourhandError(f"the demo's `hourhand {' '.join(command)}` ended with {done.returncode}: {done.stderr}")
    return done.stdout


def _rows(url: str) -> tuple[list[Decision], int, list[list[int]]]:
    """The first market's decisions and how many fills it has; the decided bars of each other account."""
    d = tables.decisions.c
    others: dict[str, list[int]] = {}
    with reading_from(url) as connection:
        decisions = [stored.decision for stored in reading.read_decisions(connection, ACCOUNT)]
        fills = len(reading.read_fills(connection, ACCOUNT))
        rows = connection.execute(select(d.account, d.bar_time).where(d.account != ACCOUNT).order_by(d.bar_time))
        for account, bar_time in rows:
            others.setdefault(account, []).append(bar_time)
    return decisions, fills, list(others.values())


def summary(
    scenario: Scenario,
    result: ScenarioResult,
    decisions: Sequence[Decision],
    fills: int,
    differences: int,
    others: Sequence[Sequence[int]] = (),
) -> dict[str, Any]:
    """What happened and what the ledger says of it, held against each other. `others` are the decided bars of each
    further market.
    """
    times = [decision.bar_time for decision in decisions]
    reasons = Counter(decision.reason for decision in decisions)
    missed = [decision.bar_time for decision in decisions if decision.reason == MISSED]
    synthetic = [decision.bar_time for decision in decisions if decision.reason == SYNTHETIC]
    went, came = result.dark
    checks = {
        "every bar decided, exactly once": times == list(range(result.first, result.first + scenario.bars * HOUR, HOUR))
        and all(result.bar_lines[bar_time] == 1 for bar_time in times),
        "missed in the outage, and only there": bool(missed)
        and went - 2 * HOUR <= missed[0] <= missed[-1] <= came
        and result.events["exchange_error"] > 0
        and result.events["exchange_recovered"] > 0,
        "killed in the middle of a bar, nothing half written": result.killed_with == -signal.SIGKILL
        and not result.half_bar_left,
        "started again with that very bar": result.resumed_at == result.last_before_kill + HOUR,
        "the hour that the exchange lacks is there, not traded on": synthetic == [result.hole],
        "stopped by SIGTERM, between two bars": result.stopped_with == 0,
        "every row derived again, bit for bit": differences == 0,
    }
    if scenario.markets > 1:
        checks[f"so it was in {scenario.markets - 1} markets beside it, bar by bar"] = (
            len(others) == scenario.markets - 1
            and all(list(bars) == list(range(bars[0], bars[-1] + HOUR, HOUR)) for bars in others)
            and all(bars[-1] >= result.last - 2 * HOUR for bars in others)
        )
    newest = decisions[-1]
    return {
        "ok": all(checks.values()),
        "bars": len(decisions),
        "first_bar_time": times[0],
        "last_bar_time": times[-1],
        "trades": fills,
        "missed": reasons[MISSED],
        "synthetic": reasons[SYNTHETIC],
        "killed_bar_time": result.last_before_kill + HOUR,
        "resumed_bar_time": result.resumed_at,
        "value": newest.value,
        "hold_value": newest.hold_value,
        "excess": newest.value - newest.hold_value,
        "model_id": newest.model_id,
        "differences": differences,
        "checks": checks,
    }
