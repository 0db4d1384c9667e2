"""Settings: one TOML file, every key overridable from the environment, checked once, here."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal, TypeVar, get_type_hints

from msgspec import Meta, Struct
from msgspec.structs import replace

from bot.clock import bar_seconds
from bot.errors import UsageError
from bot.settings.places import anchor_paths, folder_of
from bot.settings.toml import read_toml, validate_settings

PREFIX: Final = "HOURHAND_"
NOT_SETTINGS: Final = frozenset({"HOURHAND_CLOCK", "HOURHAND_CONFIG"})
FILES: Final = (Path("hourhand.toml"), Path("config/bot.toml"))

S = TypeVar("S", bound=Struct)
Seconds = Annotated[float, Meta(ge=0)]
Amount = Annotated[float, Meta(ge=0)]
Text = Annotated[str, Meta(min_length=1, max_length=200)]
Share = Annotated[float, Meta(ge=0, le=1)]
Commission = Annotated[float, Meta(ge=0, lt=1)]
Slippage = Annotated[float, Meta(ge=0, lt=10_000)]
Seed = Annotated[int, Meta(ge=0, le=2**63 - 1)]


class ExchangeSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """`[exchange]`: where candles come from."""

    id: Text = "bitfinex"
    symbol: Text = "BTC/USD"
    timeframe: Text = "1h"
    base_url: str = ""
    timeout_seconds: Seconds = 15.0


class RuleSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """What `[account]` says of the trading rule, here and in training."""

    initial_balance: Amount = 10_000.0
    initial_stocks: Amount = 1.0
    commission: Commission = 0.00075
    trade_fraction: Annotated[float, Meta(gt=0, le=1)] = 0.5
    min_buy_value: Amount = 1.0
    min_sell_amount: Amount = 0.0001


class AccountSettings(RuleSettings, frozen=True, forbid_unknown_fields=True):
    """`[account]`: the terms of the account, fixed when the account's first row is written.

    With `initial_share` the account starts with a value of `initial_balance`, with that share of it in coins at the
    close of its first bar; `initial_stocks` is then ignored.
    """

    name: Text = "main"
    initial_share: Share | None = None
    fill: Literal["close", "quote"] = "close"
    limits: Literal["own", "exchange"] = "own"
    slippage_bps: Slippage = 0.0


class PolicySettings(Struct, frozen=True, forbid_unknown_fields=True):
    """`[policy]`: which model decides, and how its probabilities become an action."""

    model: Text = "models/current"
    mode: Literal["sample", "argmax"] = "sample"
    seed: Seed = 0
    any_timeframe: bool = False


class ScheduleSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """`[schedule]`: when candles are fetched, and until when they are traded on."""

    poll_delay_seconds: Seconds = 20.0
    max_decision_delay_seconds: Seconds = 900.0
    catch_up: Literal["observe", "trade"] = "observe"
    warmup_bars: Annotated[int, Meta(ge=0)] | None = None


class LedgerSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """`[ledger]`: where it is kept."""

    url: Text = "sqlite:///var/ledger.sqlite"


class HealthSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """`[health]`: /metrics and /healthz over HTTP; a port of 0 turns them off."""

    port: Annotated[int, Meta(ge=0, le=65535)] = 0
    address: Text = "127.0.0.1"


class NotifySettings(Struct, frozen=True, forbid_unknown_fields=True):
    """`[notify]`: where notifications go, and how often."""

    urls: str = ""
    ping_url: Annotated[str, Meta(pattern=r"^$|^https?://\S+$")] = ""
    fills: bool = True
    summary: bool = True
    every_seconds: Seconds = 60.0


class ServeSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """`[serve]`: the page and the API of `hourhand serve`. Changes need `token`; `hosts` are further host names,
    separated by spaces, under which the page may be requested.
    """

    address: Text = "127.0.0.1"
    port: Annotated[int, Meta(ge=1, le=65535)] = 8420
    token: Annotated[str, Meta(pattern=r"^[!-~]*$", max_length=200)] = ""
    hosts: str = ""


class RefreshSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """`[refresh]`: the offline round, `hourhand-train refresh`, and the gate before a promotion."""

    folder: Text = "var/refresh"
    window_days: Annotated[int, Meta(ge=30)] = 1095
    holdout_days: Annotated[int, Meta(ge=7)] = 90
    steps: Annotated[int, Meta(ge=0)] = 0
    seed: Seed = 0
    margin: float = 0.0
    max_turnover_a_day: Amount = 2.0
    max_drawdown: Annotated[float, Meta(ge=0, le=1)] = 0.5


class Challenger(Struct, frozen=True, forbid_unknown_fields=True):
    """One of `[[challengers]]`: a model that trades the same candles on an account of its own, on each of `markets`
    (by the names of their accounts; default: the first market).
    """

    name: Text
    model: Text
    mode: Literal["sample", "argmax"] | None = None
    markets: tuple[Text, ...] = ()


class MarketSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """One of `[[markets]]`: a further market. It inherits what it omits from `[exchange]`, `[account]`, `[policy]`."""

    name: Text
    exchange: Text | None = None
    symbol: Text | None = None
    timeframe: Text | None = None
    base_url: str | None = None
    initial_balance: Amount | None = None
    initial_stocks: Amount | None = None
    initial_share: Share | None = None
    commission: Commission | None = None
    fill: Literal["close", "quote"] | None = None
    slippage_bps: Slippage | None = None
    model: Text | None = None
    mode: Literal["sample", "argmax"] | None = None
    seed: Seed | None = None


class Settings(Struct, frozen=True, forbid_unknown_fields=True):
    """Everything that can be set, with the defaults of `config/bot.toml`."""

    exchange: ExchangeSettings = ExchangeSettings()
    account: AccountSettings = AccountSettings()
    policy: PolicySettings = PolicySettings()
    schedule: ScheduleSettings = ScheduleSettings()
    ledger: LedgerSettings = LedgerSettings()
    health: HealthSettings = HealthSettings()
    notify: NotifySettings = NotifySettings()
    refresh: RefreshSettings = RefreshSettings()
    serve: ServeSettings = ServeSettings()
    challengers: tuple[Challenger, ...] = ()
    markets: tuple[MarketSettings, ...] = ()

    @property
    def bar(self) -> int:
        """Length of a bar in seconds."""
        return bar_seconds(self.exchange.timeframe)

    @property
    def market(self) -> str:
        """What the ledger calls the series of candles: exchange, symbol and timeframe."""
        return f"{self.exchange.id}:{self.exchange.symbol}:{self.exchange.timeframe}"

    def each_market(self) -> "tuple[Settings, ...]":
        """The settings of each market as if it were the only one: its exchange, account, policy and challengers. The
        first is that of `[exchange]`, `[account]` and `[policy]`.
        """
        first = self.account.name
        alone = replace(self, markets=(), challengers=self._challengers_on(first, (first, "")))
        return alone, *(self._alone(market) for market in self.markets)

    def _alone(self, market: MarketSettings) -> "Settings":
        account = _changed(self.account, market)
        if market.initial_share is None and market.initial_stocks is not None:
            account = replace(account, initial_share=None)
        return replace(
            self,
            exchange=self._exchange_of(market),
            account=account,
            policy=_changed(self.policy, market),
            challengers=self._challengers_on(market.name, (market.name,)),
            markets=(),
        )

    def _exchange_of(self, market: MarketSettings) -> ExchangeSettings:
        exchange_id = market.exchange or self.exchange.id
        base_url = self.exchange.base_url if exchange_id == self.exchange.id else ""
        return _changed(replace(self.exchange, id=exchange_id, base_url=base_url), market)

    def _challengers_on(self, market: str, names: tuple[str, ...]) -> tuple[Challenger, ...]:
        """The challengers that join a market, named as there; an empty name in `names` takes those that name none."""
        joining = [one for one in self.challengers if set(one.markets or ("",)) & set(names)]
        suffix = "" if market == self.account.name else f"@{market}"
        return tuple(replace(one, name=one.name + suffix, markets=()) for one in joining)


_PATHS: Final = {
    ("ledger", "url"): LedgerSettings().url,
    ("policy", "model"): PolicySettings().model,
    ("refresh", "folder"): RefreshSettings().folder,
}


def load_settings(file: Path | None, environment: Mapping[str, str] = os.environ) -> Settings:
    """The settings of `file` (None: the one that `find_settings` names), overridden by the environment.

    `HOURHAND_<SECTION>__<KEY>` beats the file. Relative paths of the file, its defaults included, count from its folder
    (from the parent where that is `config/`), those of the environment from the current folder. Raises UsageError that
    names the key where one is unknown, of another type or out of range, and the file where it cannot be read.
    """
    for name, value in environment.items():
        if name.startswith(PREFIX) and not _is_utf8(name + value):
            raise UsageError(f"settings: the environment's {name.encode(errors='replace').decode()} is not UTF-8")
    path = file or find_settings(environment)
    tables = {} if path is None else read_toml(path, path)
    overridden = {name.removeprefix(PREFIX).lower() for name in environment}
    paths = {key: default for key, default in _PATHS.items() if "__".join(key) not in overridden}
    anchor_paths(tables, Path.cwd() if path is None else folder_of(path), paths)
    for name, value in environment.items():
        if name.startswith(PREFIX) and name not in NOT_SETTINGS:
            _override(tables, name, value)
    settings = validate_settings(tables, Settings, strict=False)
    _check_markets(settings)
    return settings


def _check_markets(settings: Settings) -> None:
    """Raises UsageError where a market cannot be told from another, or has no bars, or is not there to be joined."""
    addresses: dict[str, str] = {}
    for market in settings.each_market():
        name, exchange = market.account.name, market.exchange
        try:
            bar_seconds(exchange.timeframe)
        except UsageError as error:
            raise UsageError(f"market {name}: {error}") if settings.markets else error from None
        if addresses.setdefault(market.market, exchange.base_url) != exchange.base_url:
            raise UsageError(f"settings: market {name}: give {market.market} the same base_url everywhere")
    names = [settings.account.name, *(market.name for market in settings.markets)]
    for name in names:
        if names.count(name) > 1:
            raise UsageError(f"settings: two markets are called {name}: rename one, or account.name")
    for entry in settings.markets:
        if entry.initial_share is not None and entry.initial_stocks is not None:
            raise UsageError(f"settings: market {entry.name}: give initial_share or initial_stocks, not both")
    for challenger in settings.challengers:
        unknown = [name for name in challenger.markets if name not in names]
        if unknown:
            known = ", ".join(names)
            raise UsageError(f"settings: challenger {challenger.name}: there is no market {unknown[0]!r}, only {known}")


def find_settings(environment: Mapping[str, str] = os.environ) -> Path | None:
    """The settings file: `HOURHAND_CONFIG`, else `hourhand.toml` or `config/bot.toml` in the current folder, else
    `hourhand.toml` in the user's configuration folder; None where there is none.
    """
    if environment.get("HOURHAND_CONFIG"):
        return Path(environment["HOURHAND_CONFIG"])
    for path in FILES:
        if path.exists():
            return path
    from platformdirs import user_config_path  # noqa: PLC0415 - rarely needed

    path = user_config_path("hourhand", appauthor=False) / "hourhand.toml"
    return path if path.exists() else None


def _changed(section: S, market: MarketSettings) -> S:
    """The section with those of its keys that the market has."""
    given = {name: getattr(market, name) for name in MarketSettings.__struct_fields__ if name != "exchange"}
    return replace(section, **{key: given[key] for key in section.__struct_fields__ if given.get(key) is not None})


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _override(tables: dict[str, Any], name: str, value: str) -> None:
    section, _, key = name.removeprefix(PREFIX).lower().partition("__")
    sections = get_type_hints(Settings)
    if not isinstance(sections.get(section), type) or key not in get_type_hints(sections[section]):
        raise UsageError(f"settings: the environment has {name}, which is not a setting ({PREFIX}<SECTION>__<KEY>)")
    table = tables.setdefault(section, {})
    if isinstance(table, dict):
        table[key] = value
