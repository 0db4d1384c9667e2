"""`hourhand-train train` from the outside."""

import csv
import json
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
import pytest

from bot.market import Candle
from bot.model import load_model
from training.cli import main
from training.data import Origin, write_file
from training.learner import Progress, TrainingSettings, load_training_settings

Walk = Callable[..., list[Candle]]
ROOT = Path(__file__).parents[3]
QUICK = """
[network]
fc1 = 8
lstm = 6
[windows]
count = 8
length = 20
[blocks]
count = 2
embargo = 20
[ppo]
minibatches = 2
passes = 3
[run]
checkpoint_every = 3
"""
RESULT = {"steps", "seconds", "steps_per_second", "updates", "episode_profit_last100", "model_id"}


@pytest.fixture
def there(tmp_path: Path, walk: Walk) -> Path:
    """A folder with candles.csv (800 hours from 2017-07-14 03:00) and quick.toml."""
    write_file(tmp_path / "candles.csv", walk(800), Origin())
    (tmp_path / "quick.toml").write_text(QUICK)
    return tmp_path


def arguments(there: Path, out: str, *more: str) -> list[str]:
    fixed = ["train", "--candles", str(there / "candles.csv"), "--out", str(there / out), "--threads", "1", "--json"]
    return [*fixed, "--config", str(there / "quick.toml"), *more]


def result(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    printed: dict[str, Any] = json.loads(capsys.readouterr().out)
    return printed


def test_leaves_a_model_that_tells_how_it_was_made(there: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments(there, "one", "--steps", "500", "--seed", "3", "--to", "2017-08-01")) == 0
    printed = result(capsys)
    assert printed.keys() >= RESULT
    assert (printed["steps"], printed["updates"]) == (
        640,
        24,
    )  # two networks, two iterations each, of 8 windows of 20 hours
    assert printed["steps_per_second"] == pytest.approx(640 / printed["seconds"])
    model = load_model(there / "one")
    assert model.model_id == printed["model_id"]
    made = json.loads(model.manifest)["training"]
    assert (made["first_candle"], made["last_candle"]) == (1_500_001_200, 1_501_542_000)
    assert (made["preset"], made["seed"], made["steps"]) == ("default", 3, 640)
    assert len(made["candles_sha256"]) == 64
    assert (printed["evidence"], printed["verdict"]) == (False, made["verdict"])
    assert printed["verdict"].startswith("no evidence of timing")
    assert json.loads(model.manifest)["rule"].startswith("mix?")
    settings = msgspec.convert(made["settings"], TrainingSettings)
    quick = load_training_settings(there / "quick.toml")
    assert settings == quick.lasting(500)


def test_it_says_what_it_will_do_and_where_to_go_next(there: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments(there, "one", "--steps", "320")) == 0
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("1 market, 800 candles. 2 networks play 160 hours each in windows of 20, 1 at a time")
    assert lines[-2].startswith("No evidence of timing: ")
    assert lines[-1].startswith("Next: hourhand-train evaluate --model ")


def test_several_markets_are_learned_from(there: Path, walk: Walk, capsys: pytest.CaptureFixture[str]) -> None:
    for n, coin in enumerate(("ETH", "LTC")):
        write_file(there / f"{coin}_USD-x-1h.csv", walk(500 + n, seed=n), Origin())
    at = arguments(there, "one", "--steps", "320")
    at[2:3] = [str(there / "candles.csv"), str(there / "*_USD-x-1h.csv")]
    assert main(at) == 0
    made = json.loads(load_model(there / "one").manifest)["training"]
    assert list(made["markets"]) == ["candles", "ETH_USD-x", "LTC_USD-x"]
    assert result(capsys)["out_of_fold"]["hours"] == 800 + 500 + 501 - 6
    at[at.index(str(there / "one"))] = str(there / "two")
    assert main([*at, "--preset", "bench"]) == 2
    assert "one market" in capsys.readouterr().err


def test_the_same_seed_makes_the_same_networks(there: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told = []
    for out, seed in (("a", "1"), ("b", "1"), ("c", "2")):
        assert main(arguments(there, out, "--episodes", "16", "--seed", seed)) == 0
        told.append(result(capsys)["out_of_fold"])
    assert told[0] == told[1] != told[2]


def test_figures_are_kept_for_every_iteration(there: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments(there, "one", "--steps", "480", "--tensorboard")) == 0
    assert "profit" in capsys.readouterr().err
    with (there / "one.training" / "member-2" / "metrics.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["steps"] for row in rows] == ["160", "320"]
    assert set(Progress._fields) < set(rows[0])
    assert float(rows[0]["hold"]) + float(rows[0]["buy"]) + float(rows[0]["sell"]) == pytest.approx(1, abs=1e-5)
    assert list((there / "one.training" / "tensorboard").glob("events.*"))


def test_killed_and_resumed_it_makes_the_model_of_an_undisturbed_run(
    there: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    steps = ("--steps", "9600")  # 30 iterations of each network: it is killed in between
    assert main(arguments(there, "undisturbed", *steps)) == 0
    undisturbed = result(capsys)
    run = subprocess.Popen(
        [sys.executable, "-m", "training", *arguments(there, "killed", *steps)],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    metrics = there / "killed.training" / "member-1" / "metrics.csv"
    while not (metrics.exists() and len(metrics.read_text().splitlines()) > 7):
        with suppress(subprocess.TimeoutExpired):
            pytest.fail(f"it ended before it was killed: {run.wait(0.02)}")
    run.send_signal(signal.SIGKILL)
    run.wait()
    assert not (there / "killed").exists()
    assert main(arguments(there, "killed", *steps)) == 2
    assert "--resume" in capsys.readouterr().err
    assert main(arguments(there, "killed", *steps, "--resume", "--seed", "9")) == 2
    assert "seed" in capsys.readouterr().err
    assert main(arguments(there, "killed", *steps, "--resume")) == 0
    resumed = result(capsys)
    for key in ("model_id", "steps", "updates", "episode_profit_last100", "out_of_fold"):
        assert resumed[key] == undisturbed[key]
    with metrics.open(newline="") as file:
        assert [int(row["iteration"]) for row in csv.DictReader(file)] == list(range(1, 31))


def test_a_run_that_is_done_can_be_resumed_and_stays_done(there: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments(there, "one", "--steps", "320")) == 0
    first = result(capsys)
    assert main(arguments(there, "one", "--steps", "320", "--resume")) == 0
    assert result(capsys)["model_id"] == first["model_id"]


def test_a_broken_checkpoint_is_named(there: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (there / "one.training" / "member-1").mkdir(parents=True)
    (there / "one.training" / "member-1" / "checkpoint.safetensors").write_bytes(b"nonsense")
    assert main(arguments(there, "one", "--resume")) == 2
    assert "checkpoint.safetensors" in capsys.readouterr().err


def test_the_articles_preset_is_the_articles(there: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments(there, "article", "--preset", "article", "--episodes", "2")) == 0
    printed = result(capsys)
    assert (printed["steps"], printed["updates"]) == (1000, 6)
    model = load_model(there / "article")
    assert (model.policy.features.name, tuple(model.policy.networks[0].sizes)) == ("article", (5, 2, 64, 32, "input"))


def test_the_bench_preset_fixes_network_and_passes(there: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments(there, "bench", "--preset", "bench", "--steps", "160")) == 0
    assert result(capsys)["updates"] == 3
    assert tuple(load_model(there / "bench").policy.networks[0].sizes) == (5, 2, 64, 32, "input")


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("[ppo]\nlearning_rat = 0.1\n", "learning_rat"),
        ("[ppo]\ngamma = 1.5\n", "ppo.gamma"),
        ("[ppo]\nclip = inf\n", "ppo.clip"),
        ("[ppo]\nminibatches = 3\n", "ppo.minibatches"),
        ("[network]\nfeatures = 'guess'\n", "network.features"),
        ("[network]\nlstm = 'wide'\n", "network.lstm"),
        ("[windows\n", "quick.toml"),
    ],
)
def test_a_wrong_setting_is_named(there: Path, capsys: pytest.CaptureFixture[str], text: str, key: str) -> None:
    (there / "quick.toml").write_text(text)
    assert main(arguments(there, "one")) == 2
    assert key in capsys.readouterr().err
    assert not (there / "one.training").exists()


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("--preset", "bench", "--threads", "3"), "--threads 3"),
        (("--device", "nowhere"), "--device nowhere"),
        (("--to", "2017-07-14T10:00"), "windows of 20"),
        (("--from", "2030-01-01"), "--from"),
        (("--config", "missing.toml"), "missing.toml"),
    ],
)
def test_wrong_usage_is_one_sentence(
    there: Path, capsys: pytest.CaptureFixture[str], more: tuple[str, ...], said: str
) -> None:
    assert main(arguments(there, "one", *more)) == 2
    stderr = capsys.readouterr().err
    assert said in stderr
    assert stderr.count("\n") == 1


def test_a_folder_that_is_in_use_is_left_alone(there: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (there / "mine").mkdir()
    (there / "mine" / "thesis.txt").write_text("years of work")
    assert main(arguments(there, "mine")) == 2
    assert "mine" in capsys.readouterr().err
    assert (there / "mine" / "thesis.txt").read_text() == "years of work"


def test_the_settings_file_holds_the_defaults() -> None:
    assert load_training_settings(ROOT / "config" / "training.toml") == TrainingSettings()
