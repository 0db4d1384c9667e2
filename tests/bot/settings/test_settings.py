"""Settings: every key from the file and from the environment, and every wrong one named."""

import tomllib
from pathlib import Path
from typing import Any

import msgspec
import pytest

from bot.errors import UsageError
from bot.settings import Settings, load_settings
from bot.trading import AccountTerms, Rules, terms_of

REPOSITORY = Path(__file__).parents[3]
DEFAULTS: dict[str, Any] = msgspec.to_builtins(Settings())
KEYS = [(section, key) for section, table in DEFAULTS.items() if isinstance(table, dict) for key in table]
OTHERS: dict[str, Any] = {
    "timeframe": "15m", "fill": "quote", "limits": "exchange", "mode": "argmax", "catch_up": "trade",
    "commission": 0.25, "trade_fraction": 0.125, "initial_share": 0.125, "max_drawdown": 0.125, "warmup_bars": 7,
    "ping_url": "https://ping.invalid/x",
}  # fmt: skip


def other(section: str, key: str) -> Any:
    """Another value than the default, of the same type."""
    value = DEFAULTS[section][key]
    if key in OTHERS:
        return OTHERS[key]
    match value:
        case bool():
            return not value
        case int() | float():
            return value + 7
    return f"{value}x"


@pytest.mark.parametrize(("section", "key"), KEYS)
def test_every_key_is_read_from_the_file_and_from_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, section: str, key: str
) -> None:
    monkeypatch.chdir(tmp_path)
    value = other(section, key)
    loaded = msgspec.to_builtins(
        load_settings(
            None,
            {
                f"HOURHAND_{section.upper()}__{key.upper()}": str(value).lower()
                if isinstance(value, bool)
                else str(value)
            },
        )
    )
    assert loaded == DEFAULTS | {section: DEFAULTS[section] | {key: value}}
    assert type(loaded[section][key]) is type(value if DEFAULTS[section][key] is None else DEFAULTS[section][key])
    file = tmp_path / "bot.toml"
    file.write_text(f"[{section}]\n{key} = {str(value).lower() if isinstance(value, bool) else repr(value)}\n")
    assert msgspec.to_builtins(load_settings(file, {})) == loaded


def test_the_environment_beats_the_file(tmp_path: Path) -> None:
    file = tmp_path / "bot.toml"
    file.write_text('[account]\nname = "file"\ninitial_balance = 5\n[policy]\nseed = 3\n')
    settings = load_settings(file, {"HOURHAND_ACCOUNT__NAME": "env", "HOURHAND_CLOCK": "@1", "HOME": "x"})
    assert terms_of(settings) == AccountTerms("env", "bitfinex:BTC/USD:1h", Rules(initial_balance=5.0), seed=3)
    assert isinstance(settings.account.initial_balance, float)


def test_the_file_in_the_repository_states_the_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(REPOSITORY)
    file = REPOSITORY / "config" / "bot.toml"
    assert load_settings(file, {}) == Settings()
    documented = tomllib.loads(file.read_text())
    assert {name: set(table) for name, table in documented.items()} == {
        name: {key for key, value in table.items() if value is not None}
        for name, table in DEFAULTS.items()
        if isinstance(table, dict)
    }


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[acount]\nname = 'x'", "acount"),
        ("[account]\nnmae = 'x'", "account: .*nmae"),
        ("[account]\ncommission = 1.0", r"account\.commission"),
        ("[account]\ncommission = -0.1", r"account\.commission"),
        ("[account]\ntrade_fraction = 0", r"account\.trade_fraction"),
        ("[account]\ntrade_fraction = 1.01", r"account\.trade_fraction"),
        ("[account]\ninitial_balance = nan", r"account\.initial_balance"),
        ("[account]\ninitial_balance = inf", r"account\.initial_balance"),
        ("[account]\ninitial_stocks = 'many'", r"account\.initial_stocks"),
        ("[account]\nfill = 'open'", r"account\.fill"),
        ("[account]\nslippage_bps = 10000", r"account\.slippage_bps"),
        ("[account]\nname = ''", r"account\.name"),
        ("[policy]\nmode = 'guess'", r"policy\.mode"),
        ("[policy]\nseed = -1", r"policy\.seed"),
        ("[policy]\nseed = 1.5", r"policy\.seed"),
        ("[schedule]\nwarmup_bars = -1", r"schedule\.warmup_bars"),
        ("[schedule]\npoll_delay_seconds = -0.5", r"schedule\.poll_delay_seconds"),
        ("[schedule]\ncatch_up = 'panic'", r"schedule\.catch_up"),
        ("[exchange]\ntimeframe = '1w'", r"exchange\.timeframe"),
        ("[exchange]\ntimeframe = '0h'", r"exchange\.timeframe"),
        ("exchange = 5", "exchange"),
        ("[exchange", "are not TOML"),
        ("x = \xff", "cannot be read|not TOML"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, text: str, words: str) -> None:
    file = tmp_path / "bot.toml"
    file.write_bytes(text.encode("latin-1"))
    with pytest.raises(UsageError, match=words) as failure:
        load_settings(file, {})
    assert "\n" not in str(failure.value)


@pytest.mark.parametrize(
    "name",
    ["HOURHAND_ACCOUNT", "HOURHAND_ACCOUNT__", "HOURHAND_ACCOUNT__NMAE", "HOURHAND_ACOUNT__NAME", "HOURHAND_",
     "HOURHAND_X", "HOURHAND_CHALLENGERS", "HOURHAND_CHALLENGERS__NAME", "HOURHAND_TERMS__NAME"],
)  # fmt: skip
def test_an_unknown_variable_is_named(name: str) -> None:
    with pytest.raises(UsageError, match=name):
        load_settings(None, {name: "1"})


@pytest.mark.parametrize(
    ("name", "value"), [("ACCOUNT__COMMISSION", "a lot"), ("SCHEDULE__WARMUP_BARS", "5.5"), ("POLICY__SEED", "")]
)
def test_a_variable_of_another_type_is_named(name: str, value: str) -> None:
    with pytest.raises(UsageError, match=name.lower().replace("__", r"\.")):
        load_settings(None, {f"HOURHAND_{name}": value})


@pytest.mark.parametrize("path", ["nowhere.toml", "."])
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, path: str) -> None:
    with pytest.raises(UsageError, match=r"the settings .* cannot be read"):
        load_settings(tmp_path / path, {})


def test_seconds_have_no_upper_bound() -> None:
    assert load_settings(None, {"HOURHAND_SCHEDULE__POLL_DELAY_SECONDS": "1e308"}).schedule.poll_delay_seconds == 1e308


def test_a_zero_has_no_sign() -> None:
    """An account of -0.0 would be another one after SQLite has kept it."""
    environment = {"HOURHAND_ACCOUNT__INITIAL_STOCKS": "-0.0", "HOURHAND_ACCOUNT__SLIPPAGE_BPS": "-0.0"}
    terms = terms_of(load_settings(None, environment))
    assert repr((terms.rules.initial_stocks, terms.slippage_bps)) == "(0.0, 0.0)"


MARKETS = """
[exchange]
base_url = "http://127.0.0.1:1"
[account]
commission = 0.001
[[markets]]
name = "eth"
symbol = "ETH/USD"
initial_share = 0.5
[[markets]]
name = "kraken"
exchange = "kraken"
timeframe = "4h"
model = "models/x"
initial_balance = 5
[[challengers]]
name = "c"
model = "a"
markets = ["main", "eth"]
[[challengers]]
name = "d"
model = "a"
"""


def test_a_market_takes_over_what_it_leaves_out(tmp_path: Path) -> None:
    file = tmp_path / "bot.toml"
    file.write_text(MARKETS)
    main, eth, kraken = load_settings(file, {}).each_market()
    assert (main.market, eth.market, kraken.market) == (
        "bitfinex:BTC/USD:1h", "bitfinex:ETH/USD:1h", "kraken:BTC/USD:4h",
    )  # fmt: skip
    assert (eth.exchange.base_url, kraken.exchange.base_url) == ("http://127.0.0.1:1", "")
    assert (eth.account.name, eth.account.initial_share, eth.account.commission) == ("eth", 0.5, 0.001)
    assert (kraken.account.initial_balance, kraken.policy.model) == (5.0, f"{tmp_path}/models/x")
    assert [[one.name for one in market.challengers] for market in (main, eth, kraken)] == [["c", "d"], ["c@eth"], []]
    assert main.each_market() == (main,)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("symbol = 'ETH/USD'", "markets.*name is required"),
        ("name = 'main'", "two markets are called main"),
        ("name = 'b'\ntimeframe = '1w'", "market b: .*timeframe"),
        ("name = 'b'\ncolour = 1", "no setting 'colour'"),
        ("name = 'b'\ninitial_share = 1.5", "initial_share"),
        ("name = 'b'\ninitial_balance = inf", r"markets\.initial_balance"),
        ("name = 'b'\ninitial_share = 0.5\ninitial_stocks = 1", "initial_share or initial_stocks"),
        ("name = 'b'\nbase_url = 'http://127.0.0.1:2'", "market b: .*same base_url"),
        ("name = 'b'\n[[challengers]]\nname = 'c'\nmodel = 'm'\nmarkets = ['x']", "challenger c: .*no market 'x'"),
    ],
)
def test_what_is_wrong_with_a_market_is_named(tmp_path: Path, text: str, words: str) -> None:
    file = tmp_path / "bot.toml"
    file.write_text(f"[[markets]]\n{text}\n")
    with pytest.raises(UsageError, match=words):
        load_settings(file, {})
