"""Secrets: wherever one is put, it is in no output."""

from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select

from bot.ledger import add_event, open_writer, tables
from bot.redact import one_line, redact, redact_url, redact_values

ADDRESSES: list[Callable[[str], str]] = [
    lambda secret: f"postgresql://user:{secret}@host:5432/db",
    lambda secret: f"postgresql+psycopg://user:{secret}@host/db?sslmode=require",
    lambda secret: f"postgresql://host/db?user=a&password={secret}",
    lambda secret: f"postgresql://host/db?sslpassword={secret}&sslmode=require",
    lambda secret: f"postgresql://user:{secret}@host:port/db",
    lambda secret: f"postgresql://user:{secret}@[::1/db",
    lambda secret: f"sqlite:///var/ledger.sqlite?key={secret}",
    lambda secret: f"mysql://user:{secret}@host/db",
    lambda secret: f"https://user:{secret}@hc-ping.com/",
    lambda secret: f"https://hc-ping.com/{secret}",
    lambda secret: f"https://ping.example/?token={secret}",
    lambda secret: f"http://proxy:{secret}@127.0.0.1:8080",
    lambda secret: f"tgram://{secret}/12345",
    lambda secret: f"mailto://user:{secret}@mail.example",
    lambda secret: f"slack://a/b/{secret}",
]
WITHOUT_SLASHES: list[Callable[[str], str]] = [
    lambda secret: f"postgresql:user:{secret}@host/db",
    lambda secret: f"http:/user:{secret}@host",
    lambda secret: f"user:{secret}@host/db",
]
SENTENCES = [
    "{}",
    "ledger.url: '{}' is not a database URL",
    "cannot reach {}: refused",
    '{{"url":"{}","x":1}}',
    "({}),",
]
SECRET = st.text(
    st.characters(blacklist_categories=("Cs", "Cc", "Z")),  # type: ignore[arg-type]  # a tuple is fine
    min_size=4,
    max_size=20,
).map(lambda text: f"Zq{text}qZ")


@pytest.mark.parametrize("place", ADDRESSES)
@given(secret=SECRET)
def test_a_secret_in_an_address_is_in_no_sentence(place: Callable[[str], str], secret: str) -> None:
    for written in (secret, quote(secret, safe="")):
        assert written not in redact_url(place(written))
        for sentence in SENTENCES:
            assert written not in redact(sentence.format(place(written)))
            assert written not in one_line(sentence.format(place(written)))


@pytest.mark.parametrize("place", WITHOUT_SLASHES)
@given(secret=SECRET)
def test_a_secret_in_what_is_hardly_an_address_is_in_no_sentence(place: Callable[[str], str], secret: str) -> None:
    for sentence in SENTENCES:
        assert secret not in redact(sentence.format(place(secret)))


@pytest.mark.parametrize(
    "text",
    [
        "host=h password={} dbname=d",
        "PGPASSWORD={}",
        "?token={}&x=1",
        "api_key={}",
        "Authorization: Bearer {}",
        "{{'password': '{}'}}",
        '{{"token": "{}"}}',
    ],
)
def test_a_value_with_a_secret_name_is_masked(text: str) -> None:
    assert "hunter2hunter2" not in redact(text.format("hunter2hunter2"))


def test_a_password_with_spaces_in_a_database_address() -> None:
    assert redact("ledger.url: 'postgresql://u:my own secret@host/db' is none") == (
        "ledger.url: 'postgresql://***@host/db' is none"
    )


@pytest.mark.parametrize(
    "text",
    [
        "the ledger sqlite:////home/me@work/ledger.sqlite is read-only",
        "metrics at http://127.0.0.1:9090/metrics",
        "no candles of bitfinex:BTC/USD:1h since 2020-01-01T00:00:00Z",
        "settings: exchange.timeframe: '1w' is none",
        "there is no ledger at postgresql://host:5432/db: `hourhand run` creates one",
        "",
    ],
)
def test_what_is_no_secret_stays(text: str) -> None:
    assert redact(text) == text


def test_values_are_redacted_however_deep() -> None:
    value = {"a": [{"b": "http://u:secret@host"}], "n": 1.5, "none": None}
    assert redact_values(value) == {"a": [{"b": "http://***@host"}], "n": 1.5, "none": None}


def test_no_escape_sequence_reaches_a_terminal() -> None:
    assert one_line("bad\x1b[31m name\nand a\x9bmore") == "bad\\x1b[31m name and a\\x9bmore"


def test_an_event_is_stored_without_secrets(tmp_path: Path) -> None:
    ledger = open_writer(f"sqlite:///{tmp_path}/ledger.sqlite")
    with ledger.writing() as connection:
        add_event(connection, 1.0, "exchange_error", {"error": "http://u:hunter2@host/x does not answer", "bars": 3})
        stored = connection.execute(select(tables.events.c.detail)).scalar_one()
    ledger.close()
    assert "hunter2" not in stored
    assert '"bars": 3' in stored or '"bars":3' in stored
