"""What is loaded: neither training nor torch nor pandas, ever; and little, where little is needed."""

import json
import subprocess
import sys
import textwrap
from pathlib import Path

from bot.model import SHIPPED_POINTER
from tests.harness import environment, filled, model_of

ROOT = Path(__file__).parents[2]
HEAVY = ["ccxt", "numpy", "apscheduler", "alembic", "rich", "pyarrow", "torch", "pandas", "requests", "plotext"]


def python(program: str, cwd: Path, **env: str) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(program)],
        cwd=cwd, env=environment(PYTHONPATH=str(ROOT), **env), capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_every_module_of_bot_is_there_without_training_torch_and_pandas(tmp_path: Path) -> None:
    """And a replay runs."""
    rows = "t,o,h,l,c,v\\n0,1,2,1,2,3\\n3600,2,3,2,2,0\\n7200,2,3,1,1,5\\n"
    output = python(
        f"""
        import importlib, pkgutil, sys

        class Barred:
            def find_spec(self, name, path=None, target=None):
                if name.split(".")[0] in ("training", "torch", "pandas", "gymnasium", "matplotlib"):
                    raise ImportError(f"{{name}} is not installed here")

        sys.meta_path.insert(0, Barred())
        import bot
        for module in pkgutil.walk_packages(bot.__path__, "bot."):
            if "migrations" not in module.name and not module.name.endswith("__main__"):
                importlib.import_module(module.name)
        open("candles.csv", "w").write("{rows}")
        from bot.cli import main
        url = "sqlite:///ledger.sqlite"
        model = {str(SHIPPED_POINTER)!r}
        assert main(["replay", "--candles", "candles.csv", "--ledger", url, "--model", model]) == 0
        assert main(["verify", "--ledger", url]) == 0
        """,
        tmp_path,
    )
    assert "differences  0" in output


def test_looking_is_light(tmp_path: Path) -> None:
    ledger = filled(tmp_path / "ledger.sqlite", model_of(1))
    program = """
        import sys
        from bot.cli import main
        assert main(["status", "--json"]) == 0
        print({heavy!r} and [name for name in {heavy!r} if name in sys.modules])
    """
    output, loaded = python(
        program.format(heavy=HEAVY), tmp_path, HOURHAND_LEDGER__URL=f"sqlite:///{ledger}"
    ).splitlines()
    assert json.loads(output)["bars"] == 30
    assert loaded == "[]"
