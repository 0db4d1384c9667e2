"""`hourhand-train refresh`: the offline round: download, train, evaluate, publish, and promote if better."""

import hashlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, NamedTuple

from bot.clock import Clock, bar_seconds, utc
from bot.errors import ExchangeError, HourhandError, LedgerError, ModelError, UsageError
from bot.model import (
    Model,
    attach_evaluation,
    in_sample_bars,
    load_model,
    provide_shipped,
    registry,
    resolve_model,
    save_model,
    wanted_warmup,
)
from bot.report import bars_a_year
from bot.settings import RefreshSettings, RuleSettings, Settings, read_toml
from bot.trading import rules_of
from training.data import read_file
from training.evaluation import (
    Evaluation,
    Evidence,
    Span,
    course_of,
    evaluate_model,
    evaluation_statistics,
    span_of,
    timing_evidence,
)
from training.lab.space import settings_toml
from training.learner import DEFAULT_FILE, load_training_settings

DAY: Final = 86_400
ROUNDS: Final = "refresh.jsonl"
_FAILURES: Final = {error.exit_code: error for error in (UsageError, LedgerError, ModelError, ExchangeError)}


class Round(NamedTuple):
    """Where a round keeps its files, and its bounds in Unix seconds: training from `first`, held-out bars from `split`
    to `today`.
    """

    folder: Path
    first: int
    split: int
    today: int

    @property
    def candles(self) -> Path:
        """The file of candles, which every round brings up to date."""
        return self.folder / "candles.parquet"


def run_refresh(settings: Settings, clock: Clock, *, config: Path | None, dry_run: bool) -> dict[str, Any]:
    """One round; what was decided. `promoted` says whether, `reasons` why or why not.

    Raises what the steps raise, and ModelError where the current model cannot be read. Whatever fails, the current
    model stays.
    """
    plan = _round(settings, clock)
    pointer = registry.require_registry(settings.policy.model)
    provide_shipped(pointer)
    current = load_model(resolve_model(pointer)) if os.path.lexists(pointer) else None  # a dead link is a broken model
    given = ["--config", str(config)] if config else []
    _step("download", "--since", _date(plan.first), "--out", str(plan.candles), *given)
    _require_history(plan, settings)
    trained = _train(plan, settings)
    candidate = load_model(trained)
    result, evaluation = _judge(plan, settings, candidate, current)
    result = {"at": utc(clock.now()), **result, "promoted": result["promoted"] and not dry_run}
    if not dry_run:
        _publish(pointer, candidate, evaluation, trained.with_name(f"{trained.name}.evaluated"))
        if result["promoted"]:
            registry.promote(pointer, candidate.model_id, clock.now())
    with (plan.folder / ROUNDS).open("a", encoding="utf-8") as log:
        log.write(json.dumps(result) + "\n")
    return result


def _round(settings: Settings, clock: Clock) -> Round:
    limits = settings.refresh
    folder = Path(limits.folder)
    folder.mkdir(parents=True, exist_ok=True)
    today = int(clock.now() // DAY) * DAY
    split = today - limits.holdout_days * DAY
    return Round(folder, split - limits.window_days * DAY, split, today)


def _require_history(plan: Round, settings: Settings) -> None:
    """Raises UsageError where the exchange has too few candles before the held-out ones to train on."""
    candles, _ = read_file(plan.candles, settings.exchange.timeframe)
    length = load_training_settings().windows.length
    count = sum(candle.bar_time < plan.split for candle in candles)
    if count <= length:
        raise UsageError(
            f"{settings.exchange.id} has {count} candles of {settings.exchange.symbol} before {_date(plan.split)}, and "
            f"training needs more than {length}: lower refresh.holdout_days, or wait"
        )


def _train(plan: Round, settings: Settings) -> Path:
    """Train with the account's own commission, fraction and minimums; the model's folder. A model of the same day is
    used again where it was trained with the same settings.
    """
    limits = settings.refresh
    wanted = read_toml(None, DEFAULT_FILE, "training settings")
    wanted["account"] = {name: getattr(settings.account, name) for name in RuleSettings.__struct_fields__}
    text = settings_toml(wanted)
    recipe = hashlib.sha256(f"{text}{limits.steps}{plan.first}{plan.split}".encode()).hexdigest()[:8]
    out = plan.folder / f"model-{_date(plan.today)}-{limits.seed}-{recipe}"
    config = out.with_name(f"{out.name}.toml")
    config.write_text(text, encoding="utf-8")
    if not out.exists():
        length = ["--steps", str(limits.steps)] if limits.steps else []
        window = ["--from", _date(plan.first), "--to", _date(plan.split)]
        resume = ["--resume"] if out.with_name(f"{out.name}.training").exists() else []
        given = ["--candles", str(plan.candles), "--out", str(out), "--config", str(config)]
        _step("train", *given, "--seed", str(limits.seed), *window, *length, *resume)
    return out


def _judge(
    plan: Round, settings: Settings, candidate: Model, current: Model | None
) -> tuple[dict[str, Any], dict[str, Any]]:
    """What the gate says of the candidate on the held-out bars, and its evaluation there."""
    candles, origin = read_file(plan.candles, settings.exchange.timeframe)
    rules = rules_of(settings.account)

    def span_for(model: Model) -> Span:
        return span_of(candles, plan.split, None, bar_seconds(origin.timeframe), wanted_warmup(model.policy))

    span = span_for(candidate)
    if settings.account.initial_share is not None:
        rules = rules.with_share(settings.account.initial_share, span.closes[0])

    def evaluate(model: Model, span: Span) -> Evaluation:
        return evaluate_model(
            model, span, mode=settings.policy.mode, rules=rules, slippage_bps=settings.account.slippage_bps
        )

    judged = evaluate(candidate, span)
    fresh = evaluation_statistics(judged)
    before = evaluation_statistics(evaluate(current, span_for(current))) if current else None
    timing = course_of(span, judged.policy, rules).timing[1:, None]
    year = bars_a_year(span.bar)
    evidence = timing_evidence(timing, _candidates_before(plan, candidate) + 1, bars_a_year=year)
    passed, reasons = gate(settings.refresh, fresh, before, evidence, days=len(span.decided) * span.bar / DAY)
    known = in_sample_bars(current.manifest, [candle.bar_time for candle in span.decided]) if current else 0
    if known:
        passed = False
        reasons.append(
            f"the current model learned from {known} of the {len(span.decided)} held-out bars: no comparison"
        )
    return {
        "trained": [_date(plan.first), _date(plan.split)],
        "held_out": [_date(plan.split), utc(span.decided[-1].bar_time)],
        "candidate": candidate.model_id,
        "current": current.model_id if current else None,
        "promoted": passed and (current is None or current.model_id != candidate.model_id),
        "reasons": reasons,
        "verdict": evidence.sentence,
        "candidate_log_return": fresh["policy"]["log_return"],
        "current_log_return": before["policy"]["log_return"] if before else None,
        "hold_log_return": fresh["hold"]["log_return"],
    }, fresh


def _candidates_before(plan: Round, candidate: Model) -> int:
    """How many other candidates the rounds before have looked at: each was a trial."""
    log = plan.folder / ROUNDS
    lines = log.read_text(encoding="utf-8").splitlines() if log.exists() else []
    return len({json.loads(line).get("candidate") for line in lines if line.strip()} - {candidate.model_id})


def _publish(pointer: Path, candidate: Model, evaluation: Mapping[str, Any], folder: Path) -> None:
    """Keep the candidate with its evaluation, and copy it into the registry."""
    if not folder.exists():
        save_model(attach_evaluation(candidate, evaluation), folder)
    registry.publish(pointer, load_model(folder))


def gate(
    limits: RefreshSettings,
    candidate: Mapping[str, Any],
    current: Mapping[str, Any] | None,
    evidence: Evidence,
    *,
    days: float,
) -> tuple[bool, list[str]]:
    """Whether the candidate may be promoted, and one sentence for each thing that was looked at.

    `candidate` and `current` are `evaluation_statistics` on the same held-out candles of `days` days, `evidence` is of
    the candidate's timing there. Looked at are that evidence, the mean log return against the current model's by
    `limits.margin`, the turnover a day, and the largest drawdown.
    """
    looked_at = [(evidence.found, evidence.sentence)]
    mine = candidate["policy"]["log_return"]
    if current is None:
        looked_at.append((True, "there is no current model"))
    else:
        theirs = current["policy"]["log_return"]
        better = mine > theirs and mine - theirs >= limits.margin
        verb = "beats" if better else "does not beat"
        looked_at.append((better, f"log return {mine:+.4f} {verb} {theirs:+.4f} by {limits.margin:g}"))
    for name, value, most in (
        ("turnover a day", candidate["turnover"] / days, limits.max_turnover_a_day),
        ("largest drawdown", candidate["policy"]["max_drawdown"], limits.max_drawdown),
    ):
        within = abs(value) <= most
        looked_at.append((within, f"{name} {abs(value):.3f} is {'within' if within else 'above'} {most:g}"))
    return all(good for good, _ in looked_at), [what for _, what in looked_at]


def _step(command: str, *arguments: str) -> None:
    """Run another command of `hourhand-train` in a process of its own, its progress on standard error.

    Raises the error of its exit code where it fails, HourhandError where it was killed; it has said why.
    """
    words = [sys.executable, "-m", "training", command, *arguments, "--json"]
    done = subprocess.run(words, stdout=subprocess.DEVNULL, check=False, env=os.environ)  # noqa: S603 - our own command
    if done.returncode < 0:
        name = signal.Signals(-done.returncode).name
        raise HourhandError(f"`hourhand-train {command}` was killed by {name}; the current model stays")
    if done.returncode:
        failure = _FAILURES.get(done.returncode, HourhandError)
        raise failure(f"`hourhand-train {command}` failed; the current model stays")


def _date(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d")
