"""`hourhand-train refresh`: the offline round: download, train, evaluate, publish, and promote if better."""

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from bot import registry
from bot.candles import bar_seconds
from bot.checkpoint import Model, load, save, with_evaluation
from bot.clock import Clock, utc
from bot.commands.common import add_config, add_json, read_settings, show
from bot.errors import ExchangeError, LedgerError, ModelError, UsageError
from bot.settings import RefreshSettings, Settings
from training.backtest import span_of
from training.candles import read_file
from training.evaluate import evaluation_summary

DAY: Final = 86_400
_FAILURES: Final = {error.exit_code: error for error in (UsageError, LedgerError, ModelError, ExchangeError)}


def add_refresh(parser: argparse.ArgumentParser) -> None:
    """Arguments of `refresh`."""
    parser.description = """\
One offline round, as [refresh] of the settings says: fetch the candles that are new, train on a rolling window that
ends where the held-out stretch begins, evaluate the new model and the current one on that stretch, publish the new one,
and promote it only if it passes the gate. What was decided, and why, is printed and added to refresh.jsonl in
refresh.folder. The daemon is another process and is not disturbed; it takes a promoted model up between two bars."""
    parser.epilog = "example: hourhand-train refresh --config config/bot.toml"
    parser.add_argument("--dry-run", action="store_true", help="publish and promote nothing, say what the gate says")
    add_config(parser)
    add_json(parser)
    parser.set_defaults(run=_refresh_command)


def _refresh_command(arguments: argparse.Namespace) -> int:
    settings, clock = read_settings(arguments)
    told = refresh(settings, clock, config=arguments.config, dry_run=arguments.dry_run)
    show(told, as_json=arguments.json)
    return 0


def refresh(settings: Settings, clock: Clock, *, config: Path | None, dry_run: bool) -> dict[str, Any]:
    """One round; what was decided. `promoted` says whether, `reasons` why or why not.

    Raises what the steps raise: UsageError, ExchangeError, ModelError. Whatever fails, the current model stays.
    """
    wanted = settings.refresh
    folder = Path(wanted.folder)
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "candles.parquet"
    today = int(clock.now() // DAY) * DAY
    split = today - wanted.holdout_days * DAY
    first = split - wanted.window_days * DAY
    given = ["--config", str(config)] if config else []
    _step("download", "--since", _date(first), "--out", str(file), *given)
    pointer = Path(settings.policy.model)
    out = folder / f"model-{_date(today)}-{wanted.seed}"
    if not out.exists():
        length = ["--steps", str(wanted.steps)] if wanted.steps else []
        window = ["--from", _date(first), "--to", _date(split)]
        resume = ["--resume"] if out.with_name(out.name + ".training").exists() else []
        _step("train", "--candles", str(file), "--out", str(out), "--seed", str(wanted.seed), *window, *length, *resume)
    candidate = load(out)
    candles, origin = read_file(file, settings.exchange.timeframe)
    span = span_of(candles, split, None, bar_seconds(origin.timeframe))
    rules, mode = settings.terms.rules, settings.policy.mode
    fresh = evaluation_summary(candidate, span, mode=mode, rules=rules)
    current = _current(pointer)
    before = evaluation_summary(current, span, mode=mode, rules=rules) if current else None
    passed, reasons = gate(wanted, fresh, before, days=len(span.decided) * span.bar / DAY)
    promoted = passed and not dry_run and (current is None or current.model_id != candidate.model_id)
    told: dict[str, Any] = {
        "at": utc(clock.now()),
        "trained": [_date(first), _date(split)],
        "held_out": [_date(split), utc(span.decided[-1].bar_time)],
        "candidate": candidate.model_id,
        "current": current.model_id if current else None,
        "promoted": promoted,
        "reasons": reasons,
        "candidate_log_return": fresh["policy"]["log_return"],
        "current_log_return": before["policy"]["log_return"] if before else None,
        "hold_log_return": fresh["hold"]["log_return"],
    }
    if not dry_run:
        ready = folder / f"{out.name}.evaluated"
        if not ready.exists():
            save(with_evaluation(candidate, fresh), ready)
        registry.publish(pointer, ready)
        if promoted:
            registry.promote(pointer, candidate.model_id, clock.now())
    with (folder / "refresh.jsonl").open("a", encoding="utf-8") as log:
        log.write(json.dumps(told) + "\n")
    return told


def gate(
    limits: RefreshSettings, candidate: Mapping[str, Any], current: Mapping[str, Any] | None, *, days: float
) -> tuple[bool, list[str]]:
    """Whether the candidate may be promoted, and one sentence for each thing that was looked at.

    Both are figures of `training.evaluate.figures` on the same held-out candles of `days` days. Looked at are the mean
    log return against the current model's by `limits.margin`, the turnover a day, and the largest drawdown.
    """
    looked_at: list[tuple[bool, str]] = []
    mine = candidate["policy"]["log_return"]
    if current is None:
        looked_at.append((True, "there is no current model"))
    else:
        theirs = current["policy"]["log_return"]
        better = mine - theirs >= limits.margin
        verb = "beats" if better else "does not beat"
        looked_at.append((better, f"log return {mine:+.4f} {verb} {theirs:+.4f} by {limits.margin:g}"))
    for name, value, most in (
        ("turnover a day", candidate["turnover"] / days, limits.max_turnover_a_day),
        ("largest drawdown", candidate["policy"]["max_drawdown"], limits.max_drawdown),
    ):
        within = abs(value) <= most
        looked_at.append((within, f"{name} {abs(value):.3f} is {'within' if within else 'above'} {most:g}"))
    return all(good for good, _ in looked_at), [what for _, what in looked_at]


def _current(pointer: Path) -> Model | None:
    """The model that is current, None where there is none that can be used."""
    try:
        return load(registry.resolve(pointer))
    except ModelError as error:
        sys.stderr.write(f"no current model to compare with: {error}\n")
        return None


def _step(command: str, *arguments: str) -> None:
    """Run another command of `hourhand-train` in a process of its own, its progress on standard error.

    Raises the error of its exit code where it fails; it has said why.
    """
    words = [sys.executable, "-m", "training", command, *arguments, "--json"]
    done = subprocess.run(words, stdout=subprocess.DEVNULL, check=False, env=os.environ)  # noqa: S603 - our own command
    if done.returncode:
        failure = _FAILURES.get(done.returncode, UsageError)
        raise failure(f"`hourhand-train {command}` failed; the current model stays")


def _date(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d")
