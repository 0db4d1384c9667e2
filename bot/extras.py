"""Extras: packages that an installation may leave out, and the one sentence that says which is missing."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from bot.errors import UsageError

PACKAGES: Final = {
    "apprise": "notify",
    "psycopg": "postgres",
    "pyarrow": "parquet",
    "fastapi": "web",
    "uvicorn": "web",
    "starlette": "web",
    "litecharts": "web",
    "ray": "lab",
    "optuna": "lab",
    "arch": "training",
    "gymnasium": "training",
    "matplotlib": "training",
    "pandas": "training",
    "tensorboard": "training",
    "torch": "training",
    "sb3_contrib": "dev",
    "stable_baselines3": "dev",
}
"""Which extra brings a package that is imported."""


def missing_extra(what: str, extra: str) -> UsageError:
    """The error of something that needs an extra which is not installed."""
    return UsageError(f"{what} needs the extra {extra}: pip install 'hourhand[{extra}]'")


@contextmanager
def extras_required(what: str) -> Iterator[None]:
    """Turn the failed import of an extra's package into the error that names the extra. Raises UsageError."""
    try:
        yield
    except ModuleNotFoundError as error:
        extra = PACKAGES.get((error.name or "").partition(".")[0])
        if extra is None:
            raise
        raise missing_extra(what, extra) from error
