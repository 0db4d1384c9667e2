"""Which settings file is found, and where its relative paths count from."""

from pathlib import Path

import pytest

from bot.errors import UsageError
from bot.settings import find_settings, load_settings
from tests.harness import hourhand

CHALLENGERS = '[[challengers]]\nname = "a"\nmodel = "models/x"\n[[challengers]]\nname = "b"\nmodel = "rule:hold"\n'


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, empty, beside which a test puts settings."""
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def written(file: Path, text: str = "") -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    return file


def test_the_settings_are_looked_for_in_this_order(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "user"))
    assert find_settings({}) is None
    places = [tmp_path / "user/hourhand/hourhand.toml", Path("config/bot.toml"), Path("hourhand.toml")]
    for place in places:
        written(place, f'[account]\nname = "{place.parent.name or "here"}"\n')
        assert find_settings({}) == place
    named = written(tmp_path / "named.toml", '[account]\nname = "named"\n')
    given = written(tmp_path / "given.toml", '[account]\nname = "given"\n')
    environment = {"HOURHAND_CONFIG": str(named)}
    assert load_settings(None, environment).account.name == "named"
    assert load_settings(given, environment).account.name == "given"
    assert load_settings(None, {}).account.name == "here"


@pytest.mark.parametrize("file", ["there/hourhand.toml", "there/config/bot.toml", "there/x/../config/bot.toml"])
def test_relative_paths_count_from_the_folder_of_the_file(tmp_path: Path, file: str) -> None:
    settings = load_settings(written(tmp_path / file, CHALLENGERS), {})
    there = tmp_path / "there"
    assert settings.ledger.url == f"sqlite:///{there}/var/ledger.sqlite"
    assert settings.policy.model == f"{there}/models/current"
    assert settings.refresh.folder == f"{there}/var/refresh"
    assert [challenger.model for challenger in settings.challengers] == [f"{there}/models/x", "rule:hold"]


def test_whole_paths_and_those_of_the_environment_stay_as_they_are(tmp_path: Path) -> None:
    text = '[policy]\nmodel = "/srv/models/current"\n[ledger]\nurl = "postgresql://u@h/db"\n'
    environment = {"HOURHAND_REFRESH__FOLDER": "var/elsewhere"}
    settings = load_settings(written(tmp_path / "there/bot.toml", text), environment)
    assert settings.policy.model == "/srv/models/current"
    assert settings.ledger.url == "postgresql://u@h/db"
    assert settings.refresh.folder == "var/elsewhere"
    for url in ("sqlite:////srv/l.sqlite", "sqlite://", "sqlite:///:memory:"):
        file = written(tmp_path / "there/bot.toml", f'[ledger]\nurl = "{url}"\n')
        assert load_settings(file, {}).ledger.url == url


@pytest.mark.parametrize("file", ["hourhand.toml", "config/bot.toml"])
def test_in_the_current_folder_paths_stay_short(here: Path, file: str) -> None:
    settings = load_settings(written(here / file), {})
    assert (settings.ledger.url, settings.policy.model) == ("sqlite:///var/ledger.sqlite", "models/current")


def test_a_folder_may_have_any_name(tmp_path: Path) -> None:
    folder = tmp_path / "100%25 of ? it"
    config = written(folder / "bot.toml")
    done = hourhand("doctor", "--config", str(config), cwd=tmp_path)
    assert "is missing or of an older version" in " ".join(done.stdout.split())
    done = hourhand("replay", "--help", cwd=folder)
    assert done.returncode == 0
    assert (folder / "models" / "current").is_file()


def test_a_registry_is_made_where_the_default_leads_and_nowhere_else(here: Path, tmp_path: Path) -> None:
    config = written(tmp_path / "there/mine.toml")
    assert hourhand("models", "list", "--config", str(config), cwd=here).returncode == 0
    assert (tmp_path / "there/models/current").is_file()
    chosen = tmp_path / "chosen/models/current"
    config = written(tmp_path / "chosen/mine.toml", f'[policy]\nmodel = "{chosen}"\n')
    assert hourhand("models", "list", "--config", str(config), cwd=here).returncode == 0
    assert not chosen.parent.exists()
    assert list(here.iterdir()) == []


def test_a_ledger_is_not_left_behind(here: Path, tmp_path: Path) -> None:
    old = written(here / "var/ledger.sqlite")
    config, new = written(tmp_path / "there/bot.toml"), tmp_path / "there/var/ledger.sqlite"
    with pytest.raises(UsageError, match="there is a ledger at") as failure:
        load_settings(config, {})
    assert str(old) in str(failure.value)
    assert str(new) in str(failure.value)
    assert hourhand("status", "--config", str(config), cwd=here).returncode == 2
    assert load_settings(config, {"HOURHAND_LEDGER__URL": "sqlite:///x.sqlite"}).ledger.url == "sqlite:///x.sqlite"
    written(new)
    assert load_settings(config, {}).ledger.url == f"sqlite:///{new}"


@pytest.mark.parametrize("text", ["ledger = 5", "policy = []", "[ledger]\nurl = 3", 'challengers = "x"'])
def test_nonsense_is_refused_by_name(tmp_path: Path, text: str) -> None:
    with pytest.raises(UsageError, match="settings"):
        load_settings(written(tmp_path / "there/bot.toml", text), {})
