"""The proof: every row of the ledger derived again from what was given, and compared bit for bit."""

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

import numpy as np
from sqlalchemy import Connection, select

from bot.clock import END_OF_TIME, bar_seconds
from bot.errors import ExchangeError, ModelError, UsageError
from bot.ledger import accounts, chain, reading, tables
from bot.ledger.reading import StoredDecision
from bot.ledger.resume import warm_up_from_ledger
from bot.market import Candle
from bot.model import Model, parse_model
from bot.trading import CLOCK, MINIMUM, MISSED, PAUSED, POLICY, SYNTHETIC, AccountTerms, Fill, Quote, State, Trader

REASONS: Final = frozenset({POLICY, MINIMUM, SYNTHETIC, MISSED, CLOCK, PAUSED})
_MEMORY_TOLERANCE: Final = 1e-9  # two machines' arithmetic may differ in the last bits of a hidden state

Report = Callable[[str], None]


class Verdict(NamedTuple):
    """How many bars were derived, and each difference in words."""

    bars: int
    differences: list[str]


def verify(connection: Connection, progress: Callable[[int], object] = lambda _bars: None) -> Verdict:
    """Derive every account of the ledger again. `progress` gets the number of bars done now and then."""
    found: list[str] = []
    models = _models(connection, found.append)
    opened = accounts.read_all_terms(connection)
    covered: set[tuple[str, int]] = set()
    bars = 0
    first_bars: dict[str, int] = {}
    for terms in opened:
        if not _is_market(terms.market):
            found.append(f"account {terms.name}: {terms.market!r} is not a market")
            continue
        proof = _Proof(connection, terms, models, found)
        for stored in reading.read_decisions(connection, terms.name):
            proof.check(stored)
            model_id = stored.decision.model_id
            first_bars[model_id] = min(first_bars.get(model_id, stored.decision.bar_time), stored.decision.bar_time)
            bars += 1
            if bars % 1000 == 0:
                progress(bars)
        proof.end()
        covered |= proof.covered
    _strays(connection, {terms.name for terms in opened}, covered, first_bars, found.append)
    return Verdict(bars, found)


class _Proof:
    """One account's rows, in order of time."""

    def __init__(
        self, connection: Connection, terms: AccountTerms, models: Mapping[str, Model], found: list[str]
    ) -> None:
        self.connection, self.terms, self.models = connection, terms, models
        self.report: Report = lambda what: found.append(f"account {terms.name}: {what}")
        self.candles = {
            candle.bar_time: candle for candle in reading.read_candles_between(connection, terms.market, -END_OF_TIME)
        }
        self.fills = reading.read_fills(connection, terms.name)
        self.covered: set[tuple[str, int]] = set()
        self.state: State | None = None
        self.last: StoredDecision | None = None

    def check(self, stored: StoredDecision) -> None:
        """Derive one row from the rows before it, and compare."""
        given = stored.decision
        candle = self.candles.get(given.bar_time)
        fill = self.fills.pop(given.bar_time, None)
        model = self.models.get(given.model_id)
        last, self.last = self.last, stored
        if last is not None and given.bar_time != last.decision.bar_time + self.terms.bar:
            self.report(f"no decision between {last.decision.bar_time} and {given.bar_time}")
        if candle is None or model is None:
            self.report(f"{given.bar_time}: its {'candle' if candle is None else 'model'} is missing")
            return
        self.covered.add((self.terms.market, given.bar_time))
        self._link(last, stored, candle, fill, model.weights_sha256)
        trader = Trader(self.terms, model, given.mode)
        if (given.reason == SYNTHETIC) != candle.synthetic or given.reason not in REASONS:
            self.report(f"{given.bar_time}: the reason {given.reason!r} does not fit its candle")
        quote = Quote(given.bid, given.ask) if given.bid is not None and given.ask is not None else None
        if (quote is not None and self.terms.fill == "close") or (given.bid is None) != (given.ask is None):
            self.report(f"{given.bar_time}: a quote that the account does not use")
        try:
            with np.errstate(all="ignore"):  # whoever altered a candle may have written anything
                state = self._state(trader, last, stored)
                step = trader.step(state, candle, POLICY if given.reason == MINIMUM else given.reason, quote)
        except (ArithmeticError, ValueError, ExchangeError, ModelError) as error:
            self.report(f"{given.bar_time}: nothing can be derived from its candle: {error}")
            return
        for name, found, derived in zip(given._fields, given, step.decision, strict=True):
            if found != derived:
                self.report(f"{given.bar_time}: {name} is {found!r}, derived {derived!r}")
        if fill != step.fill:
            self.report(f"{given.bar_time}: the fill is {fill}, derived {step.fill}")
        self.state = step.state

    def _state(self, trader: Trader, last: StoredDecision | None, stored: StoredDecision) -> State:
        """What the row was decided from: carried on, or warmed up where the row says so."""
        bar_time, first = stored.decision.bar_time, stored.warmup_from
        if first is None:
            if self.state is None or (last and last.decision.model_id != stored.decision.model_id):
                self.report(f"{bar_time}: the hidden state comes from nowhere")
                return trader.start()
            return self.state
        state, began = warm_up_from_ledger(self.connection, trader, first, bar_time)
        if began != first or first > bar_time:
            self.report(f"{bar_time}: some of the warm-up candles from {first} on are missing")
        held = self.state or trader.start()
        return state._replace(balance=held.balance, stocks=held.stocks)

    def _link(
        self, last: StoredDecision | None, stored: StoredDecision, candle: Candle, fill: Fill | None, sha256: str
    ) -> None:
        bar_time = stored.decision.bar_time
        if last is None:
            warmup = self._warmup(bar_time if stored.warmup_from is None else stored.warmup_from, bar_time)
            before = chain.genesis(self.terms, warmup)
        else:
            before = last.chain
        if stored.chain_version not in (1, chain.VERSION) or (last and stored.chain_version < last.chain_version):
            self.report(f"{bar_time}: its chain's version is {stored.chain_version}")
        weights = sha256 if stored.chain_version > 1 else None
        link = chain.link(before, self.terms, candle, stored.decision, fill, stored.warmup_from, weights)
        if link != stored.chain:
            self.report(f"{bar_time}: the chain is broken: this row, its candle or one before it was altered")

    def _warmup(self, first: int, end: int) -> list[Candle]:
        warmup = [self.candles[time] for time in sorted(self.candles) if first <= time < end]
        self.covered |= {(self.terms.market, candle.bar_time) for candle in warmup}
        return warmup

    def end(self) -> None:
        """After the last row: nothing left over, and the stored state is the derived one."""
        for bar_time in self.fills:
            self.report(f"{bar_time}: a fill without a decision")
        row = self.connection.execute(select(tables.states).where(tables.states.c.account == self.terms.name)).first()
        if self.last is None:
            self.report("no decisions")
            return
        if row is None or row.bar_time != self.last.decision.bar_time:
            self.report(f"the stored state is not that of the last bar, {self.last.decision.bar_time}")
            return
        memory = reading.decode_memory(row.hidden)
        if self.state is not None and (
            memory is None
            or memory.shape != self.state.memory.shape
            or not np.allclose(memory, self.state.memory, rtol=_MEMORY_TOLERANCE, atol=_MEMORY_TOLERANCE)
        ):
            self.report("the stored hidden state is not the derived one")


def _is_market(name: str) -> bool:
    try:
        bar_seconds(name.rsplit(":", 1)[-1])
    except UsageError:
        return False
    return True


def _models(connection: Connection, report: Report) -> dict[str, Model]:
    models = {}
    for row in connection.execute(select(tables.models)):
        try:
            model = parse_model(row.weights, row.manifest)
        except ModelError as error:
            report(f"model {row.model_id}: {error}")
            continue
        if (model.model_id, model.weights_sha256) != (row.model_id, row.weights_sha256):
            report(f"model {row.model_id}: its row does not describe its weights")
        models[row.model_id] = model
    return models


def _strays(
    connection: Connection,
    accounts: set[str],
    covered: set[tuple[str, int]],
    first_bars: Mapping[str, int],
    report: Report,
) -> None:
    """Rows that belong to nothing."""
    c, m = tables.candles.c, tables.models.c
    for market, bar_time in connection.execute(select(c.market, c.bar_time)):
        if (market, bar_time) not in covered:
            report(f"{market}: nothing was decided on the candle of {bar_time}")
    for table in (tables.account_limits, tables.decisions, tables.fills, tables.states):
        for name, rows in Counter(row[0] for row in connection.execute(select(table.c.account))).items():
            if name not in accounts:
                report(f"{table.name}: {rows} rows of account {name!r}, which was never opened")
    for model_id, first in connection.execute(select(m.model_id, m.first_bar_time)):
        if first_bars.get(model_id) != first:
            report(f"model {model_id}: its first bar is not {first}")
