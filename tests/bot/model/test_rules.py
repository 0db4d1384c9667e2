"""Rules as models: their text and identity, what they do, and their folder."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.errors import ModelError, UsageError
from bot.market import Candle
from bot.model import (
    BUY,
    HOLD,
    SELL,
    CodeManifest,
    Model,
    Observation,
    attach_evaluation,
    describe,
    load_model,
    manifest_of,
    named_model,
    parse_model,
    registry,
    rule_model,
    save_model,
)
from bot.model.behaviour import behaviour_of
from bot.model.manifest import MANIFEST, WEIGHTS
from bot.model.policy import PolicyOutput
from bot.trading import Rules
from tests.harness import hourhand, model_of

HOUR = 3600


def candle(n: int, close: float, bar: int = HOUR) -> Candle:
    return Candle(n * bar, close, close, close, close, 1.0)


def test_equal_rules_have_equal_ids_whatever_they_are_written_like() -> None:
    same = [rule_model(text) for text in ("mix?share=0.5", "mix?band=.15&share=5e-1", "mix?share=0.50&band=0.150")]
    assert len({model.model_id for model in same}) == 1
    assert {describe(model) for model in same} == {"rule mix?band=0.15&share=0.5"}
    others = [
        rule_model(text) for text in ("mix?share=0.5&band=0.2", "hold", "trend", "trend?days=15", "random?turnover=1")
    ]
    assert len({model.model_id for model in [*same, *others]}) == 6
    assert rule_model("trend").model_id == rule_model("trend?days=14").model_id


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("astrology", "no rule 'astrology'; the rules are hold, mix, random, trend"),
        ("", "no rule ''"),
        ("mix", "needs its parameter share"),
        ("mix?share=1.5", "share must be from 0.01 to 0.99, not 1.5"),
        ("mix?share=nan", "share must be from"),
        ("mix?share=half", "share must be a number, not 'half'"),
        ("mix?share=0.5&shore=1", "no parameter 'shore'; it takes share, band"),
        ("mix?share", "not NAME=VALUE"),
        ("mix?share=", "share must be a number"),
        ("mix?share=0.5&share=0.5", "share twice"),
        ("hold?x=1", "no parameter 'x'; it takes none"),
        ("trend?days=0", "days must be from 1 to 365"),
        ("trend?days=1.5", "days must be a whole number, not '1.5'"),
        ("random?turnover=-1", "turnover must be from 0"),
        ("random?turnover=inf", "turnover must be from 0"),
    ],
)
def test_what_is_no_rule_is_refused_in_one_sentence(text: str, words: str) -> None:
    with pytest.raises(ModelError) as refused:
        named_model(f"rule:{text}")
    assert words in str(refused.value)


def test_a_folder_holds_a_rule_like_any_model(tmp_path: Path) -> None:
    model = rule_model("mix?share=0.4")
    chosen = rule_model("mix?share=0.4", training={"first_candle": 3600})
    assert chosen.model_id == model.model_id
    save_model(attach_evaluation(chosen, {"bars": 3}), tmp_path / "mix")
    again = load_model(tmp_path / "mix")
    assert (again.model_id, again.policy) == (model.model_id, model.policy)
    manifest = manifest_of(again)
    assert isinstance(manifest, CodeManifest)
    assert (manifest.format, manifest.rule, manifest.evaluation) == (2, "mix?band=0.15&share=0.4", {"bars": 3})
    assert manifest.training == {"first_candle": 3600}
    pointer = tmp_path / "models" / "current"
    assert registry.publish(pointer, again) == "added"
    registry.promote(pointer, model.model_id, 1.0)
    assert named_model(str(pointer)).model_id == model.model_id


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"rule": "mix?band=0.2&share=0.4"}, "decides differently here"),
        ({"rule": "mix?share=0.4"}, "which must be written mix?band=0.15&share=0.4"),
        ({"rule": "astrology"}, "no rule 'astrology'"),
        ({"behaviour": "0" * 64}, "decides differently here"),
        ({"model_id": "0" * 16}, "says model_id 0000"),
        ({"format": 1}, "unknown field `rule`"),
        ({"format": 3}, "format 3"),
        ({"weights_sha256": "0" * 64}, "SHA-256 differs"),
        ({"rule": None}, "format 2"),
        ({"rule": 5}, "not a model's manifest"),
        ({"run_me": "rm"}, "run_me"),
        ({"actions": ["sell", "buy", "hold"]}, "actions"),
    ],
)
def test_an_altered_rule_is_refused(change: dict[str, Any], words: str) -> None:
    model = rule_model("mix?share=0.4")
    with pytest.raises(ModelError) as refused:
        parse_model(model.weights, json.dumps(json.loads(model.manifest) | change))
    assert words in str(refused.value)


def test_a_rule_with_weights_is_refused() -> None:
    manifest = json.loads(rule_model("hold").manifest)
    network = model_of(1)
    with pytest.raises(ModelError, match="a policy that is code has none"):
        parse_model(network.weights, json.dumps(manifest | {"weights_sha256": network.weights_sha256}))


def answers(model: Model, closes: list[float], holdings: tuple[float, float], bar: int = HOUR) -> list[int]:
    """The action at each bar, sure of it, for an account that keeps its holdings."""
    memory, before, actions = model.policy.start(), None, []
    for n, close in enumerate(closes):
        now = candle(n, close, bar)
        output = model.policy.step(Observation(now, before, *holdings, Rules()), memory)
        assert output.probabilities.max() == 1.0
        actions.append(int(output.probabilities.argmax()))
        memory, before = output.memory, now
    return actions


def test_hold_never_trades() -> None:
    assert answers(rule_model("hold"), [1.0, 2.0, 0.5], (1e4, 1.0)) == [HOLD] * 3
    assert rule_model("hold").policy.start().shape == (0,)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(50.0, 200.0), min_size=1, max_size=80), st.sampled_from([900, HOUR, 4 * HOUR, 24 * HOUR]))
def test_trend_is_on_the_side_of_the_average_of_its_days(closes: list[float], bar: int) -> None:
    """For any history, however short, and bars of any length; a clock hour counts once, with its last close."""
    expected = []
    for n, close in enumerate(closes):
        hours = {(i * bar) // HOUR: closes[i] for i in range(n + 1)}
        seen = [price for hour, price in hours.items() if hour > n * bar // HOUR - 24 * 2]
        side = close - sum(seen) / len(seen)
        expected.append(HOLD if abs(side) < 1e-9 else BUY if side > 0 else SELL)
    assert answers(rule_model("trend?days=2"), closes, (5_000.0, 50.0), bar) == expected


def test_trend_holds_in_a_market_that_stands_still_and_when_it_is_where_it_wants_to_be() -> None:
    trend = rule_model("trend?days=1")
    assert answers(trend, [0.1] * 60, (5_000.0, 50.0)) == [HOLD] * 60
    rising, falling = [100.0, 101.0, 102.0], [100.0, 99.0, 98.0]
    assert answers(trend, rising, (1.0, 50.0)) == [HOLD] * 3
    assert answers(trend, rising, (5_000.0, 50.0)) == [HOLD, BUY, BUY]
    assert answers(trend, falling, (5_000.0, 0.01)) == [HOLD] * 3
    assert answers(trend, falling, (5_000.0, 55.0)) == [HOLD, SELL, SELL]


@pytest.mark.parametrize(("turnover", "bar", "chance"), [(0.6, HOUR, 0.05), (0.6, 900, 0.0125), (90.0, HOUR, 0.5)])
def test_random_buys_as_often_as_it_sells(turnover: float, bar: int, chance: float) -> None:
    policy = rule_model(f"random?turnover={turnover}").policy
    before, now = candle(1, 100.0, bar), candle(2, 100.0, bar)
    first = policy.step(Observation(before, None, 5e3, 50.0, Rules()), policy.start())
    assert first.probabilities.tolist() == [1.0, 0.0, 0.0]
    later = policy.step(Observation(now, before, 5e3, 50.0, Rules()), first.memory)
    assert later.probabilities.tolist() == pytest.approx([1 - 2 * chance, chance, chance])


class _Wrong:
    """A policy that breaks one of the promises."""

    def __init__(self, output: PolicyOutput, memory: Any) -> None:
        self.output, self.memory = output, memory

    def start(self) -> Any:
        return self.memory

    def step(self, _observation: Observation, _memory: Any) -> PolicyOutput:
        return self.output


@pytest.mark.parametrize(
    ("output", "memory", "words"),
    [
        (PolicyOutput(np.array([0.5, 0.6, 0.1]), np.array(0.0), np.zeros(1)), np.zeros(1), "add up to 1"),
        (PolicyOutput(np.array([1.5, -0.5, 0.0]), np.array(0.0), np.zeros(1)), np.zeros(1), "add up to 1"),
        (PolicyOutput(np.array([1.0, 0.0]), np.array(0.0), np.zeros(1)), np.zeros(1), "add up to 1"),
        (PolicyOutput(np.array([1.0, 0.0, 0.0]), np.array(np.nan), np.zeros(1)), np.zeros(1), "one finite number"),
        (PolicyOutput(np.array([1.0, 0.0, 0.0]), np.array(0.0), np.zeros(2)), np.zeros(1), "constant length"),
        (PolicyOutput(np.array([1.0, 0.0, 0.0]), np.array(0.0), np.zeros((1, 1))), np.zeros(1), "one-dimensional"),
        (PolicyOutput(np.array([1.0, 0.0, 0.0]), np.array(0.0), np.full(1, np.inf)), np.zeros(1), "must be finite"),
    ],
)
def test_a_policy_that_breaks_its_promises_has_no_identity(output: PolicyOutput, memory: Any, words: str) -> None:
    with pytest.raises(ModelError, match=words):
        behaviour_of(_Wrong(output, memory))


def test_a_registry_needs_a_pointer(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="a registry needs a pointer"):
        registry.require_registry("rule:hold")
    listed = hourhand("models", "list", cwd=tmp_path, HOURHAND_POLICY__MODEL="rule:hold")
    assert listed.returncode == 2
    assert listed.stderr.count("\n") == 1


def test_a_rule_is_published_by_its_name(tmp_path: Path) -> None:
    env = {"HOURHAND_POLICY__MODEL": "models/current"}
    published = hourhand("models", "publish", "rule:mix?share=0.4", "--json", cwd=tmp_path, **env)
    model_id = json.loads(published.stdout)["model_id"]
    assert model_id == rule_model("mix?share=0.4").model_id
    assert hourhand("models", "promote", model_id, cwd=tmp_path, **env).returncode == 0
    shown = json.loads(hourhand("models", "show", model_id[:5], "--json", cwd=tmp_path, **env).stdout)
    assert (shown["rule"], shown["format"]) == ("mix?band=0.15&share=0.4", 2)
    listed = json.loads(hourhand("models", "list", "--json", cwd=tmp_path, **env).stdout)
    assert listed["current"] == model_id
    refused = hourhand("models", "publish", "rule:mix?share=4", cwd=tmp_path, **env)
    assert (refused.returncode, refused.stderr.count("\n")) == (5, 1)


def test_files_of_a_rule(tmp_path: Path) -> None:
    save_model(rule_model("hold"), tmp_path / "hold")
    assert sorted(path.name for path in (tmp_path / "hold").iterdir()) == [MANIFEST, WEIGHTS]
