"""The shapes of the API's answers, for its documentation. Times are in Unix seconds, and `time` the same in UTC."""

from typing import Any

from pydantic import BaseModel, Field

_CURSOR = Field(description="Pass it as `cursor` to get the next page; null on the last one.")


class Problem(BaseModel):
    """Why a request was refused."""

    detail: str = Field(description="One sentence.")


class Account(BaseModel):
    """An account now: what `hourhand status --json` has."""

    account: str
    market: str | None = Field(description="Exchange, symbol and timeframe.")
    bar_time: int | None = Field(description="Open time of the newest decided bar.")
    time: str | None
    close: float | None
    balance: float | None
    stocks: float | None
    value: float | None
    hold_value: float | None = Field(description="Value of the initial holdings at the same close.")
    excess: float | None = Field(description="value - hold_value.")
    stocks_pct: float | None = Field(description="Percent of the value that is in coins.")
    bars: int
    trades: int
    model_id: str | None
    chain: str | None = Field(description="The newest link of the account's chain of hashes.")
    practice: bool | None = Field(description="Whether the ledger was made on a simulated clock.")
    lag_seconds: float | None = Field(description="Since the close of the newest decided bar.")
    state: str = Field(description="running, late, stopped or empty.")
    paused: bool = Field(description="Whether the account is paused.")
    next_bar_due: float | None = Field(description="When the next bar is to be decided.")


class Decision(BaseModel):
    """A row of `decisions`."""

    account: str
    bar_time: int
    time: str
    action: str = Field(description="hold, buy or sell: what was done.")
    reason: str = Field(description="Why: policy, minimum, missed, synthetic, clock or paused.")
    p_hold: float
    p_buy: float
    p_sell: float
    state_value: float
    draw: float
    model_id: str
    mode: str
    price: float
    balance: float
    stocks: float
    value: float
    hold_value: float
    bid: float | None
    ask: float | None
    warmup_from: int | None
    chain: str
    chain_version: int


class Decisions(BaseModel):
    """A page of decisions."""

    decisions: list[Decision]
    next: str | None = _CURSOR


class Fill(BaseModel):
    """A row of `fills`, and what followed from it."""

    account: str
    bar_time: int
    time: str
    side: str
    price: float
    amount: float = Field(description="Coins.")
    cost: float = Field(description="In quote currency.")
    commission: float
    share: float = Field(description="Traded share of the account's value, 0 to 1.")
    profit: float | None = Field(description="Of a sale, over the average price of the coins sold, after commission.")


class Fills(BaseModel):
    """A page of fills."""

    fills: list[Fill]
    next: str | None = _CURSOR


class EquityPoint(BaseModel):
    """The account at a bar; `drawdown` is the deepest since the point before it."""

    bar_time: int
    time: str
    value: float
    hold_value: float
    constant_mix: float
    drawdown: float
    hold_drawdown: float
    exposure: float = Field(description="Share of the value in coins, 0 to 1.")


class Equity(BaseModel):
    """The account's course, thinned without losing a peak."""

    account: str
    bars: int = Field(description="How many bars the points represent.")
    equity: list[EquityPoint]


class Candle(BaseModel):
    """A row of `candles`."""

    market: str
    bar_time: int
    time: str
    open: float
    high: float
    low: float
    close: float
    volume: float
    synthetic: bool


class Candles(BaseModel):
    """A page of candles."""

    candles: list[Candle]
    next: str | None = _CURSOR


class Event(BaseModel):
    """A row of `events`."""

    id: int
    at: float
    time: str
    kind: str
    detail: dict[str, Any]


class Events(BaseModel):
    """A page of events."""

    events: list[Event]
    next: str | None = _CURSOR


class Model(BaseModel):
    """A model of the registry."""

    model_id: str
    role: str = Field(description="current, shadow or empty.")
    since: float | None = Field(description="Since when it is current.")
    trained: str | None = Field(description="The algorithm that trained it.")
    problem: str | None = Field(description="Why it cannot be used.")


class Models(BaseModel):
    """The registry."""

    current: str | None
    models: list[Model]


class Comparison(BaseModel):
    """What `hourhand compare --json` has, with 95 % intervals."""

    first: int
    last: int
    bars: int
    in_sample_bars: int
    hold: dict[str, Any]
    accounts: list[dict[str, Any]] = Field(description="Each also has `excess_ci95` and `timing_ci95`.")


class Pointer(BaseModel):
    """The registry's pointer after a change."""

    model_id: str
    before: str | None
    shadows: list[str]


class Paused(BaseModel):
    """The accounts for which a pause is asked, and since when."""

    paused: dict[str, float]
