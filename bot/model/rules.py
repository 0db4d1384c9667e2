"""Rules: policies without weights, each written as one line of text such as `mix?band=0.1&share=0.5`."""

from collections.abc import Callable, Mapping
from math import isfinite
from typing import Any, Final, NamedTuple
from urllib.parse import parse_qsl

from bot.errors import ModelError
from bot.model.mix import Mix
from bot.model.policy import Policy
from bot.model.rivals import Hold, Random, Trend

PREFIX: Final = "rule:"


class Parameter(NamedTuple):
    """A number that a rule takes: its default (None where it must be given) and its range, ends included."""

    default: float | int | None
    lowest: float | int
    highest: float | int


class Rule(NamedTuple):
    """How a rule's policy is made, and from what."""

    make: Callable[..., Policy]
    parameters: Mapping[str, Parameter]


RULES: Final[Mapping[str, Rule]] = {
    "hold": Rule(Hold, {}),
    "mix": Rule(Mix, {"share": Parameter(None, 0.01, 0.99), "band": Parameter(0.15, 0.01, 0.5)}),
    "random": Rule(Random, {"turnover": Parameter(None, 0.0, 100.0)}),
    "trend": Rule(Trend, {"days": Parameter(14, 1, 365)}),
}
"""The rules by name. A parameter is a whole number where its bounds are."""


def parse_rule(text: str) -> tuple[str, Policy]:
    """The rule that `NAME?parameter=value&...` names: its canonical text, with every parameter and in order of their
    names, and its policy.

    Raises ModelError with one sentence where there is no such rule or parameter, or a value is out of range.
    """
    name, _, query = text.partition("?")
    if name not in RULES:
        raise ModelError(f"there is no rule {name!r}; the rules are {', '.join(RULES)}")
    rule = RULES[name]
    values = {key: parameter.default for key, parameter in rule.parameters.items()}
    for key, value in _given(name, query):
        if key not in rule.parameters:
            known = f"it takes {', '.join(rule.parameters)}" if rule.parameters else "it takes none"
            raise ModelError(f"the rule {name} has no parameter {key!r}; {known}")
        values[key] = _number(name, key, value, rule.parameters[key])
    for key, number in values.items():
        if number is None:
            raise ModelError(f"the rule {name} needs its parameter {key}, as in {PREFIX}{name}?{key}=0.5")
    canonical = "&".join(f"{key}={values[key]!r}" for key in sorted(values))
    return f"{name}?{canonical}" if canonical else name, rule.make(**values)


def _given(name: str, query: str) -> list[tuple[str, str]]:
    try:
        given = parse_qsl(query, keep_blank_values=True, strict_parsing=bool(query))
    except ValueError as error:
        raise ModelError(f"the rule {name} has parameters that are not NAME=VALUE, joined by &: {query!r}") from error
    keys = [key for key, _ in given]
    for key in keys:
        if keys.count(key) > 1:
            raise ModelError(f"the rule {name} sets {key} twice")
    return given


def _number(name: str, key: str, text: str, parameter: Parameter) -> float | int:
    kind: Any = int if isinstance(parameter.lowest, int) else float
    try:
        number: float | int = kind(text)
    except ValueError as error:
        what = "a whole number" if kind is int else "a number"
        raise ModelError(f"the rule {name}: {key} must be {what}, not {text!r}") from error
    if not (isfinite(number) and parameter.lowest <= number <= parameter.highest):
        raise ModelError(
            f"the rule {name}: {key} must be from {parameter.lowest:g} to {parameter.highest:g}, not {text}"
        )
    return number
