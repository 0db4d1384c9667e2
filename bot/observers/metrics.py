"""/metrics for Prometheus and /healthz for whoever asks whether bars are decided in time."""

from collections.abc import Mapping, Sequence
from functools import partial
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any, Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from bot.clock import Clock
from bot.observers.health import Health, check_health, unknown
from bot.observers.newest import Newest
from bot.settings import Settings
from bot.trading import AccountState, DecidedBar, account_value, hold_value_at

_COMMIT_BUCKETS: Final = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0)
_REQUEST_SECONDS: Final = 5.0
_CHANGES: Final = {"model_swapped": "swapped", "model_rejected": "rejected"}


class Metrics:
    """An observer that keeps the newest figures of each account. Everything is labelled by `account`, where it is an
    account's; money in quote currency, times in Unix seconds.
    """

    name = "metrics"

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self.settings, self.clock = settings, clock
        self.newest = Newest(settings)
        self.trouble = ""  # why bars cannot be written now
        self.registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)  # memory, processor time, open files, time of the start
        self._times: dict[str, int] = {}
        self._of_account: list[Gauge] = []
        gauge = self._gauge
        self.close = gauge("close", "close of the newest decided bar", "account")
        self.balance = gauge("balance", "quote currency held", "account")
        self.stocks = gauge("stocks", "base currency held", "account")
        self.value = gauge("value", "balance and stocks at the close", "account")
        self.hold_value = gauge("hold_value", "the initial holdings at the close", "account")
        self.exposure = gauge("exposure_ratio", "share of value in base currency, 0 to 1", "account")
        self.probability = gauge("probability", "of each action at the newest bar", "account", "action")
        self.state_value = gauge("state_value", "the critic's estimate at the newest bar", "account")
        self.delay = gauge("decision_delay_seconds", "from the close of the newest bar to its commit", "account")
        self.model = gauge("model_info", "1 for the model that decides", "account", "model_id")
        self.bar = gauge("bar_time_seconds", "open time of the newest decided bar", "account")
        self.age = gauge("bar_age_seconds", "since the newest decided bar opened", "account")
        self.lag = gauge("lag_seconds", "since the newest decided bar closed", "account")
        gauge("healthy", "1 where bars are decided in time").set_function(lambda: float(self.health().healthy))
        self.market_healthy = Gauge(
            "hourhand_market_healthy", "1 where the market's bars are decided in time", ("market",), registry=registry
        )
        self.decisions = Counter(
            "hourhand_decisions", "decided bars", ("account", "action", "reason"), registry=registry
        )
        self.errors = Counter("hourhand_poll_errors", "polls that failed", ("cause",), registry=registry)
        self.changes = Counter("hourhand_model_changes", "models loaded, rejected", ("result",), registry=registry)
        self.commit = Histogram(
            "hourhand_commit_seconds", "a bar's transaction", registry=registry, buckets=_COMMIT_BUCKETS
        )
        for cause in ("exchange", "ledger"):
            self.errors.labels(cause)
        for result in _CHANGES.values():
            self.changes.labels(result)

    def health(self) -> Health:
        """How all markets are now."""
        if self.trouble:
            return unknown(self.trouble, self.settings)
        return self.newest.check(self.clock.now())

    def _market_health(self, name: str) -> float:
        at = self.newest.of[name]
        return float(not self.trouble and check_health(at.bar_time, self.clock.now(), self.settings, at.bar).healthy)

    def on_accounts(self, account_states: Sequence[AccountState]) -> None:
        """Show what the ledger knows before the first bar is decided."""
        for gone in self._times.keys() - {account.trader.terms.name for account in account_states}:
            for gauge in self._of_account:
                gauge.remove_by_labels({"account": gone})
            del self._times[gone]
        self.model.clear()
        for account in account_states:
            trader, state = account.trader, account.state
            name = trader.terms.name
            self.model.labels(name, trader.model.model_id).set(1)
            if account.bar_time is None or state.before is None:
                continue
            self._at(name, account.bar_time, trader.terms.bar)
            close = state.before.close
            self._holds(name, state.balance, state.stocks, close)
            self.value.labels(name).set(account_value(state.balance, state.stocks, close))
            self.hold_value.labels(name).set(hold_value_at(close, trader.terms.rules))
        self.market_healthy.clear()
        self.newest.on_accounts(account_states)
        for market in self.newest.of:
            self.market_healthy.labels(market).set_function(partial(self._market_health, market))

    def on_bar(self, entries: Sequence[DecidedBar], seconds: float) -> None:
        """Show the newest bar."""
        self.commit.observe(seconds)
        for entry in entries:
            name, decision = entry.trader.terms.name, entry.step.decision
            self._at(name, decision.bar_time, entry.trader.terms.bar)
            self._holds(name, decision.balance, decision.stocks, entry.step.candle.close)
            self.value.labels(name).set(decision.value)
            self.hold_value.labels(name).set(decision.hold_value)
            self.state_value.labels(name).set(decision.state_value)
            for action in ("hold", "buy", "sell"):
                self.probability.labels(name, action).set(getattr(decision, f"p_{action}"))
            self.decisions.labels(name, decision.action, decision.reason).inc()
            self.delay.labels(name).set(self.clock.now() - decision.bar_time - entry.trader.terms.bar)
        self.newest.on_bar(entries)

    def on_event(self, kind: str, detail: Mapping[str, Any]) -> None:
        """Count failed polls and models loaded or rejected."""
        if kind in ("ledger_unavailable", "ledger_recovered"):
            self.trouble = str(detail["error"]) if kind == "ledger_unavailable" else ""
        if kind == "poll_failed":
            self.errors.labels(detail["cause"]).inc()
        elif kind in _CHANGES:
            self.changes.labels(_CHANGES[kind]).inc()

    def tick(self, *, last: bool) -> bool:  # noqa: ARG002 - an observer's
        """Nothing to do: whoever wants to know asks."""
        return False

    def _gauge(self, name: str, text: str, *labels: str) -> Gauge:
        made = Gauge(f"hourhand_{name}", text, labels, registry=self.registry)
        if labels:
            self._of_account.append(made)
        return made

    def _at(self, name: str, bar_time: int, bar: int) -> None:
        if name not in self._times:
            self.age.labels(name).set_function(lambda: self.clock.now() - self._times[name])
            self.lag.labels(name).set_function(lambda: self.clock.now() - self._times[name] - bar)
        self._times[name] = bar_time
        self.bar.labels(name).set(bar_time)

    def _holds(self, name: str, balance: float, stocks: float, close: float) -> None:
        self.close.labels(name).set(close)
        self.balance.labels(name).set(balance)
        self.stocks.labels(name).set(stocks)
        value = account_value(balance, stocks, close)
        self.exposure.labels(name).set(stocks * close / value if value else 0.0)


def serve(metrics: Metrics, address: str, port: int) -> ThreadingHTTPServer:
    """Answer /metrics and /healthz (200 healthy, 503 not, the sentence in either) at `address`, in threads of its own.

    Raises OSError if it cannot listen there.
    """

    def page(path: str) -> tuple[HTTPStatus, str, bytes]:
        if path == "/metrics":
            return HTTPStatus.OK, CONTENT_TYPE_LATEST, generate_latest(metrics.registry)
        if path == "/healthz":
            verdict = metrics.health()
            status = HTTPStatus.OK if verdict.healthy else HTTPStatus.SERVICE_UNAVAILABLE
            return status, "text/plain; charset=utf-8", verdict.sentence.encode() + b"\n"
        return HTTPStatus.NOT_FOUND, "text/plain; charset=utf-8", b"there are /metrics and /healthz\n"

    class Handler(BaseHTTPRequestHandler):
        timeout = _REQUEST_SECONDS
        server_version = "hourhand"
        sys_version = ""

        def do_GET(self) -> None:
            """Answer one request."""
            status, kind, body = page(self.path.partition("?")[0])
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the library's name
            """The log is the daemon's."""

    server = _Server((address, port), Handler)
    Thread(target=server.serve_forever, name="metrics-http", daemon=True).start()
    return server


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away in the middle of an answer is nobody's concern."""
