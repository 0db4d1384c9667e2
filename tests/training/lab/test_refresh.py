"""The offline round against the loopback exchange, and its gate."""

import json
import re
import sys
from pathlib import Path

import pytest

from bot.clock import Clock
from bot.errors import ExchangeError, HourhandError, ModelError, UsageError
from bot.model import SHIPPED_POINTER, load_model, registry, training_span
from bot.settings import RefreshSettings, Settings, load_settings
from bot.simulator import LoopbackExchange, generate_candles
from bot.simulator.faults import Fault
from training.evaluation import Evidence
from training.lab import run_refresh
from training.lab.refresh import gate

DAY = 86_400
START = 1_577_836_800
DAYS = 45
FOUND = Evidence(0.5, (0.1, 0.9), 0.001, "timing found", found=True)


def _figures(log_return: float, turnover: float = 1.0, drawdown: float = 0.1) -> dict[str, object]:
    return {"policy": {"log_return": log_return, "max_drawdown": drawdown}, "turnover": turnover}


@pytest.mark.parametrize(
    ("candidate", "current", "passes"),
    [
        (_figures(0.10), _figures(0.05), True),
        (_figures(0.06), _figures(0.05), False),  # less than the margin
        (_figures(0.05), _figures(0.05), False),  # equal is not better
        (_figures(0.10), None, True),
        (_figures(0.10, turnover=21.0), _figures(0.05), False),
        (_figures(0.10, drawdown=0.31), _figures(0.05), False),
        (_figures(0.10, turnover=20.0, drawdown=0.3), None, True),
    ],
)
def test_the_gate(candidate: dict[str, object], current: dict[str, object] | None, passes: bool) -> None:
    limits = RefreshSettings(margin=0.02, max_turnover_a_day=2.0, max_drawdown=0.3)
    good, reasons = gate(limits, candidate, current, FOUND, days=10)
    assert good is passes
    assert len(reasons) == 4
    assert not gate(limits, candidate, current, FOUND._replace(found=False), days=10)[0]


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "training.toml").write_text("[windows]\ncount = 16\nlength = 100\n")
    monkeypatch.chdir(tmp_path)
    # What the steps, processes of their own, are to see as well.
    variables = {
        "CLOCK": f"@{START + DAYS * DAY}",
        "REFRESH__FOLDER": str(tmp_path / "refresh"),
        "REFRESH__WINDOW_DAYS": "30",
        "REFRESH__HOLDOUT_DAYS": "7",
        "REFRESH__STEPS": "1",
        "REFRESH__MAX_TURNOVER_A_DAY": "1000",
        "REFRESH__MAX_DRAWDOWN": "1",
        "POLICY__MODEL": str(tmp_path / "models" / "current"),
        "EXCHANGE__BASE_URL": "http://127.0.0.1:9",
    }
    for name, value in variables.items():
        monkeypatch.setenv(f"HOURHAND_{name}", value)
    return load_settings(None)


def _loopback(monkeypatch: pytest.MonkeyPatch, exchange: LoopbackExchange) -> Settings:
    monkeypatch.setenv("HOURHAND_EXCHANGE__BASE_URL", exchange.url)
    return load_settings(None)


@pytest.mark.slow
def test_a_round_publishes_and_promotes_through_the_gate(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(start=START + DAYS * DAY, source=lambda: 0.0, simulated=True)
    pointer = Path(settings.policy.model)
    with LoopbackExchange(generate_candles(DAYS * 24, 3, start=START), clock) as exchange:
        settings = _loopback(monkeypatch, exchange)
        unsure = run_refresh(settings, clock, config=None, dry_run=False)
        assert not unsure["promoted"]  # a training of one iteration has learned nothing
        assert unsure["verdict"].startswith("no evidence of timing")
        assert unsure["verdict"] in unsure["reasons"]
        assert not pointer.exists()
        assert (pointer.parent / unsure["candidate"]).is_dir()
        monkeypatch.setattr("training.lab.refresh.timing_evidence", lambda *_, **__: FOUND)
        result = run_refresh(settings, clock, config=None, dry_run=False)
        assert result["promoted"]  # there was no current model
        assert registry.read_pointer(pointer).model_id == result["candidate"]
        assert load_model(registry.resolve_model(pointer)).model_id == result["candidate"]
        again = run_refresh(
            settings, clock, config=None, dry_run=False
        )  # the same day: the same model, already current
        assert (again["candidate"], again["promoted"]) == (result["candidate"], False)
    log = (Path(settings.refresh.folder) / "refresh.jsonl").read_text().splitlines()
    assert [json.loads(line)["promoted"] for line in log] == [False, True, False]
    manifest = json.loads((pointer.parent / result["candidate"] / "model.json").read_text())
    assert manifest["evaluation"]["policy"]["log_return"] == result["candidate_log_return"]
    assert manifest["training"]["last_candle"] < START + (DAYS - 7) * DAY  # nothing of the held-out stretch


def test_an_exchange_that_is_down_leaves_the_current_model(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(start=START + DAYS * DAY, source=lambda: 0.0, simulated=True)
    pointer = Path(settings.policy.model)
    model = load_model(registry.resolve_model(SHIPPED_POINTER))
    registry.publish(pointer, model)
    registry.promote(pointer, model.model_id, 0.0)
    with LoopbackExchange(generate_candles(DAYS * 24, 3, start=START), clock, Fault("451", "all")) as exchange:
        settings = _loopback(monkeypatch, exchange)
        with pytest.raises(ExchangeError, match="download"):
            run_refresh(settings, clock, config=None, dry_run=False)
    assert registry.read_pointer(pointer).model_id == model.model_id


@pytest.mark.slow
def test_a_round_with_another_commission_trains_another_model(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock(start=START + DAYS * DAY, source=lambda: 0.0, simulated=True)
    with LoopbackExchange(generate_candles(DAYS * 24, 3, start=START), clock) as exchange:
        run_refresh(_loopback(monkeypatch, exchange), clock, config=None, dry_run=True)
        monkeypatch.setenv("HOURHAND_ACCOUNT__COMMISSION", "0.01")
        run_refresh(_loopback(monkeypatch, exchange), clock, config=None, dry_run=True)
    manifests = [
        json.loads(path.read_text(encoding="utf-8"))
        for path in Path(settings.refresh.folder).glob("model-*/model.json")
    ]
    commissions = [manifest["training"]["settings"]["account"]["commission"] for manifest in manifests]
    assert sorted(commissions) == [0.00075, 0.01]


@pytest.mark.slow
def test_a_dry_run_publishes_and_promotes_nothing(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(start=START + DAYS * DAY, source=lambda: 0.0, simulated=True)
    with LoopbackExchange(generate_candles(DAYS * 24, 3, start=START), clock) as exchange:
        result = run_refresh(_loopback(monkeypatch, exchange), clock, config=None, dry_run=True)
    assert not result["promoted"]
    assert not Path(settings.policy.model).parent.exists()


def test_a_broken_current_model_is_an_error_and_not_none(settings: Settings) -> None:
    pointer = Path(settings.policy.model)
    pointer.parent.mkdir(parents=True)
    pointer.write_text("nonsense", encoding="utf-8")
    clock = Clock(start=START + DAYS * DAY, source=lambda: 0.0, simulated=True)
    with pytest.raises(ModelError):
        run_refresh(settings, clock, config=None, dry_run=False)
    assert pointer.read_text(encoding="utf-8") == "nonsense"


def test_a_dead_link_is_a_broken_model_and_not_none(settings: Settings) -> None:
    pointer = Path(settings.policy.model)
    pointer.parent.mkdir(parents=True)
    pointer.symlink_to("nowhere")
    clock = Clock(start=START + DAYS * DAY, source=lambda: 0.0, simulated=True)
    with pytest.raises(ModelError):
        run_refresh(settings, clock, config=None, dry_run=False)


def test_a_step_that_is_killed_is_no_wrong_usage(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    killed = Path("killed").absolute()
    killed.write_text("#!/bin/sh\nkill -KILL $$\n", encoding="utf-8")
    killed.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(killed))
    clock = Clock(start=START + DAYS * DAY, source=lambda: 0.0, simulated=True)
    with pytest.raises(HourhandError, match="download` was killed by SIGKILL") as failure:
        run_refresh(settings, clock, config=None, dry_run=False)
    assert failure.value.exit_code == 1


@pytest.mark.slow
def test_a_model_that_learned_from_the_held_out_bars_is_not_compared_with(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock(start=START + DAYS * DAY, source=lambda: 0.0, simulated=True)
    pointer = Path(settings.policy.model)
    model = load_model(registry.resolve_model(SHIPPED_POINTER))
    assert training_span(model.manifest)[1] > START + DAYS * DAY  # type: ignore[index]
    registry.publish(pointer, model)
    registry.promote(pointer, model.model_id, 0.0)
    with LoopbackExchange(generate_candles(DAYS * 24, 3, start=START), clock) as exchange:
        result = run_refresh(_loopback(monkeypatch, exchange), clock, config=None, dry_run=False)
    assert not result["promoted"]
    bars = re.match(r"the current model learned from (\d+) of the (\d+) held-out bars", result["reasons"][-1])
    assert bars
    assert bars[1] == bars[2]
    assert registry.read_pointer(pointer).model_id == model.model_id


def test_a_short_history_is_said_as_such(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(start=START + DAYS * DAY, source=lambda: 0.0, simulated=True)
    young = generate_candles(DAYS * 24, 3, start=START)[-9 * 24 :]
    with LoopbackExchange(young, clock) as exchange, pytest.raises(UsageError, match="training needs more than 100"):
        run_refresh(_loopback(monkeypatch, exchange), clock, config=None, dry_run=False)
    del settings
