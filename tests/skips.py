"""With CI=true a test that is skipped has failed, but for the reasons that are expected there. A pytest plugin."""

import os
from collections.abc import Generator
from typing import Any, Final

import pytest

EXPECTED: Final = ("needs the real candles",)
"""How a reason begins that CI accepts: those candles are not part of the repository."""


def _fail_unexpected(report: pytest.TestReport | pytest.CollectReport) -> None:
    if os.environ.get("CI", "") in {"", "0", "false"} or report.outcome != "skipped" or hasattr(report, "wasxfail"):
        return
    reason = str(report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr)
    if not reason.removeprefix("Skipped: ").startswith(EXPECTED):
        report.outcome = "failed"
        report.longrepr = f"skipped, which CI does not expect: {reason} (tests/skips.py lists what it does)"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, Any, Any]:
    report = yield
    _fail_unexpected(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, Any, Any]:
    report = yield
    _fail_unexpected(report)
    return report
