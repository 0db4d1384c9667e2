"""The tables. Money and coins are IEEE doubles, so that they come back bit for bit; every constraint has a name."""

import json
from collections.abc import Mapping
from typing import Any, Final

from sqlalchemy import (
    REAL,
    BigInteger,
    CheckConstraint,
    Column,
    Double,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.types import TypeEngine

from bot.market import MarketLimits

REVISION: Final = "0003"

metadata: Final = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(referred_table_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    }
)
_LARGEST: Final = "1.7976931348623157e308"  # `> 0` alone lets infinity in

# SQLite's STRICT tables know INTEGER, REAL, TEXT and BLOB only.
_REAL: Final[TypeEngine[float]] = Double().with_variant(REAL(), "sqlite")
_TIME: Final[TypeEngine[int]] = BigInteger().with_variant(Integer(), "sqlite")


def _real(name: str, *, null: bool = False) -> Column[Any]:
    return Column(name, _REAL, nullable=null)


def _positive(name: str) -> CheckConstraint:
    return CheckConstraint(f'"{name}" > 0 AND "{name}" <= {_LARGEST}', name=name)


def _not_negative(name: str) -> CheckConstraint:
    return CheckConstraint(f'"{name}" >= 0 AND "{name}" <= {_LARGEST}', name=name)


def _share(name: str) -> CheckConstraint:
    return CheckConstraint(f'"{name}" >= 0 AND "{name}" <= 1', name=name)


candles: Final = Table(
    "candles",
    metadata,
    Column("market", Text, nullable=False),
    Column("bar_time", _TIME, nullable=False),
    *(_real(name) for name in ("open", "high", "low", "close", "volume")),
    Column("synthetic", Integer, nullable=False),
    PrimaryKeyConstraint("market", "bar_time"),
    *(_positive(name) for name in ("open", "high", "low", "close")),
    _not_negative("volume"),
    CheckConstraint('high >= "open" AND high >= "close" AND low <= "open" AND low <= "close"', name="range"),
    CheckConstraint("synthetic IN (0, 1)", name="synthetic"),
    sqlite_strict=True,
)

accounts: Final = Table(
    "accounts",
    metadata,
    Column("account", Text, primary_key=True),
    Column("market", Text, nullable=False),
    *(_real(name) for name in ("initial_balance", "initial_stocks", "commission", "trade_fraction")),
    *(_real(name) for name in ("min_buy_value", "min_sell_amount")),
    Column("fill", Text, nullable=False),
    _real("slippage_bps"),
    Column("seed", _TIME, nullable=False),
    *(_not_negative(name) for name in ("initial_balance", "initial_stocks", "min_buy_value", "min_sell_amount")),
    _share("commission"),
    _share("trade_fraction"),
    CheckConstraint("fill IN ('close', 'quote')", name="fill"),
    _not_negative("slippage_bps"),
    sqlite_strict=True,
)

account_limits: Final = Table(
    "account_limits",
    metadata,
    Column("account", Text, ForeignKey(accounts.c.account), primary_key=True),
    *(_real(name) for name in MarketLimits._fields),
    *(_not_negative(name) for name in MarketLimits._fields),
    sqlite_strict=True,
)

models: Final = Table(
    "models",
    metadata,
    Column("model_id", Text, primary_key=True),
    Column("weights_sha256", Text, nullable=False),
    Column("weights", LargeBinary, nullable=False),
    Column("manifest", Text, nullable=False),
    Column("first_bar_time", _TIME, nullable=False),
    sqlite_strict=True,
)

decisions: Final = Table(
    "decisions",
    metadata,
    Column("account", Text, ForeignKey(accounts.c.account), nullable=False),
    Column("bar_time", _TIME, nullable=False),
    Column("action", Text, nullable=False),
    Column("reason", Text, nullable=False),
    *(_real(name) for name in ("p_hold", "p_buy", "p_sell", "state_value", "draw")),
    Column("model_id", Text, ForeignKey(models.c.model_id), nullable=False),
    Column("mode", Text, nullable=False),
    *(_real(name) for name in ("price", "balance", "stocks", "value", "hold_value")),
    _real("bid", null=True),
    _real("ask", null=True),
    Column("warmup_from", _TIME, nullable=True),
    Column("chain", Text, nullable=False),
    Column("chain_version", Integer, nullable=False, server_default=text("1")),  # 1 in rows written before 0002
    PrimaryKeyConstraint("account", "bar_time"),
    UniqueConstraint("chain"),
    CheckConstraint("chain_version IN (1, 2)", name="chain_version"),
    CheckConstraint("action IN ('hold', 'buy', 'sell')", name="action"),
    CheckConstraint("action = 'hold' OR reason = 'policy'", name="reason"),
    *(_share(name) for name in ("p_hold", "p_buy", "p_sell")),
    CheckConstraint("draw >= 0 AND draw < 1", name="draw"),
    CheckConstraint("mode IN ('sample', 'argmax')", name="mode"),
    _positive("price"),
    *(_not_negative(name) for name in ("balance", "stocks", "value", "hold_value")),
    CheckConstraint("length(chain) = 64", name="chain"),
    sqlite_strict=True,
)

fills: Final = Table(
    "fills",
    metadata,
    Column("account", Text, nullable=False),
    Column("bar_time", _TIME, nullable=False),
    Column("side", Text, nullable=False),
    *(_real(name) for name in ("price", "amount", "cost", "commission")),
    PrimaryKeyConstraint("account", "bar_time"),
    ForeignKeyConstraint(["account", "bar_time"], [decisions.c.account, decisions.c.bar_time]),
    CheckConstraint("side IN ('buy', 'sell')", name="side"),
    _positive("price"),
    *(_not_negative(name) for name in ("amount", "cost", "commission")),  # 0 where a trade is too small for a double
    sqlite_strict=True,
)

states: Final = Table(
    "states",
    metadata,
    Column("account", Text, ForeignKey(accounts.c.account), primary_key=True),
    Column("bar_time", _TIME, nullable=False),
    Column("hidden", LargeBinary, nullable=False),
    sqlite_strict=True,
)

events: Final = Table(
    "events",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    _real("at"),
    Column("kind", Text, nullable=False),
    Column("detail", Text, nullable=False),
    sqlite_strict=True,
)
IS_REVISION: Final = text("kind = 'revision'")  # as text: SQLite matches no partial index to a bound value
Index("ix_events_revision", events.c.detail, sqlite_where=IS_REVISION, postgresql_where=IS_REVISION)

ledger_info: Final = Table(
    "ledger_info",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("practice", Integer, nullable=True),
    CheckConstraint("id = 1", name="id"),
    CheckConstraint("practice IN (0, 1)", name="practice"),
    sqlite_strict=True,
)


def event_text(detail: Mapping[str, Any]) -> str:
    """The JSON of an event's detail, always the same for the same detail."""
    return json.dumps(detail, sort_keys=True)


# Alembic's own, so that a fresh ledger needs no Alembic to be made.
version: Final = Table("alembic_version", MetaData(), Column("version_num", String(32), primary_key=True))
