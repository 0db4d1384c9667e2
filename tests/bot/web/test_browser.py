"""The page in a real browser, over ten years of bars: three accounts, a swap, missed hours."""

import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, ConsoleMessage, Page, expect

from tests.bot.web.conftest import BARS, TOKEN
from tests.bot.web.server import Server
from tests.ledgers import append_bar, two_models
from tests.screenshots import chromium

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("chromium") is None, reason="needs chromium"),
]
CHARTS = ("price", "exposure", "equity", "drawdown", "chances", "costs")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, ten_years: Path) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("browser")
    file = Path(shutil.copy(ten_years, folder / "ledger.sqlite"))
    found = Server(folder, file, HOURHAND_SERVE__TOKEN=TOKEN)
    found.wait()
    yield found
    assert found.stop() == 0


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as found:
        yield found


@pytest.fixture
def page(browser: Browser, server: Server) -> Iterator[Page]:
    """The page, read and drawn; no error in its console at the end."""
    opened = open_page(browser, server)
    yield opened
    opened.close()


def open_page(browser: Browser, server: Server, **options: Any) -> Page:
    """The page with those options of a browser's context."""
    page = browser.new_page(**{"viewport": {"width": 1280, "height": 900}, **options})
    page.set_default_timeout(20_000)
    errors: list[str] = []
    own = (server.url, "data:")

    def note(message: ConsoleMessage) -> None:
        if message.type == "error" and not message.text.startswith(
            "Failed to load resource"
        ):  # of refusals, and of a server that is gone
            errors.append(message.text)

    page.on("console", note)
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("close", lambda _: None if not errors else pytest.fail(str(errors)))
    page.on("request", lambda request: None if request.url.startswith(own) else errors.append(request.url))
    page.goto(server.url)
    page.wait_for_function("() => charts.data() !== null && charts.data().times.length > 0")
    expect(page.locator("#connection")).to_have_text("live")
    page.wait_for_selector("[data-part=compare] table")
    assert errors == []
    return page


def ranges(page: Page) -> dict[str, dict[str, float]]:
    """What each chart shows, in points of the data."""
    found: dict[str, dict[str, float]] = page.evaluate("() => charts.ranges()")
    return found


def test_everything_is_there_without_an_error(page: Page) -> None:
    assert page.locator(".card").count() == 3
    assert page.locator(".card h3").all_inner_texts() == ["main", "<b>fresh</b>", "cautious"]
    for name in CHARTS:
        assert page.locator(f"[data-chart={name}] canvas").count() > 0
    value = page.locator(".card .value").first.inner_text().split()[0]
    assert page.title().startswith(value)
    assert page.locator("[data-part=compare] tbody tr").count() == 3
    assert (
        "in" in page.locator(".countdown").first.inner_text() or "ago" in page.locator(".countdown").first.inner_text()
    )


def test_a_new_bar_appears_without_a_reload(page: Page, server: Server) -> None:
    page.evaluate("() => { window.kept = true; }")
    before = page.title()
    bar_time = append_bar(server.file, two_models()[1])
    page.wait_for_function("bar => charts.data().times.at(-1) === bar", arg=bar_time)
    page.wait_for_function("before => document.title !== before", arg=before)
    first = page.locator("[data-part=decisions] tbody tr time").first
    expect(first).to_have_attribute("datetime", time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(bar_time)))
    assert page.evaluate("() => window.kept") is True


def wait_for_width(page: Page, less_than: float) -> float:
    """Wait until the first chart shows less; how wide it then is. All charts show the same."""
    script = "most => { const r = charts.ranges().price; return r.to - r.from < most - 1; }"
    page.wait_for_function(script, arg=less_than)
    near = "Math.abs(r.from - all[0].from) + Math.abs(r.to - all[0].to) < 1e-3"
    page.wait_for_function(f"() => Object.values(charts.ranges()).every((r, _, all) => {near})")
    shown = ranges(page)
    assert set(shown) == set(CHARTS)
    return shown["price"]["to"] - shown["price"]["from"]


def test_zoom_and_move_take_all_charts_along(page: Page) -> None:
    shown = ranges(page)["price"]
    box = page.locator("[data-chart=equity] .canvas")
    box.focus()
    page.keyboard.press("+")
    width = wait_for_width(page, shown["to"] - shown["from"])
    right = ranges(page)["price"]["to"]
    page.keyboard.press("ArrowLeft")
    page.wait_for_function("to => charts.ranges().costs.to < to - 1", arg=right)
    box.hover()
    page.keyboard.down("Control")
    page.mouse.wheel(0, -120)
    page.keyboard.up("Control")
    wait_for_width(page, width)


def test_pointing_at_one_chart_reads_all_of_them(page: Page) -> None:
    legends = page.locator(".live .legend").all_inner_texts()
    box = page.locator("[data-chart=price] .canvas").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] / 3, box["y"] + box["height"] / 2)
    changed = page.locator(".live .legend").all_inner_texts()
    moments = {text.split("\n")[0].split(":")[0] for text in changed}
    assert all(now != before for now, before in zip(changed, legends, strict=True))
    assert len(moments) == 1


def test_ten_years_are_shown_and_become_finer_when_zoomed(page: Page) -> None:
    page.get_by_role("button", name="all", exact=True).click()
    page.wait_for_function(f"() => charts.data().bars >= {BARS}")
    coarse = page.evaluate("() => [charts.data().times.length, charts.data().bars]")
    assert coarse[0] <= 2_400
    page.locator("[data-chart=price] .canvas").focus()
    for _ in range(16):
        page.keyboard.press("+")
    page.wait_for_function(f"() => charts.data().bars < {BARS // 4}")
    shown = page.evaluate("() => charts.data().bars / charts.data().times.length")
    assert shown < coarse[1] / coarse[0]


def test_promote_needs_the_token(page: Page, server: Server) -> None:
    before = server.pointer.read_bytes()
    page.get_by_role("button", name="Promote").first.click()
    page.get_by_label("Token").fill("wrong")
    page.get_by_role("button", name="Go on").click()
    expect(page.locator("#ask-problem")).to_have_text("this is not the token")
    assert server.pointer.read_bytes() == before
    page.get_by_label("Token").fill(TOKEN)
    with page.expect_response(lambda response: response.url.endswith("/promote") and response.ok):
        page.get_by_role("button", name="Go on").click()
    expect(page.locator("#ask")).to_be_hidden()
    page.wait_for_function(
        "() => [...document.querySelectorAll('[data-part=models] tr')].some(row => row.innerText.includes('current'))"
    )
    assert server.pointer.read_bytes() != before
    page.get_by_role("button", name="Roll back to the one before").click()  # the token is known by now
    page.wait_for_function("() => !document.querySelector('#ask').open")


def test_pause_and_resume(page: Page, server: Server) -> None:
    paused = server.pointer.with_name("current.paused")
    page.get_by_role("button", name="Pause").click()
    page.get_by_label("Token").fill(TOKEN)
    page.get_by_role("button", name="Go on").click()
    page.wait_for_function("() => document.querySelector('.card .light').innerText.includes('paused')")
    assert b"main" in paused.read_bytes()


def test_times_in_the_readers_zone(browser: Browser, server: Server) -> None:
    page = open_page(browser, server, timezone_id="Asia/Tokyo")
    cell = page.locator("[data-part=decisions] tbody time").first
    utc, stamp = cell.inner_text(), cell.get_attribute("datetime") or ""
    page.get_by_role("button", name="times in UTC").click()
    assert utc == stamp[:16].replace("T", " ")
    assert int(cell.inner_text()[11:13]) == (int(utc[11:13]) + 9) % 24
    page.close()


def test_a_lost_connection_is_said_and_mended(browser: Browser, tmp_path: Path, ledger_file: Path) -> None:
    file = tmp_path / "ledger.sqlite"
    file.write_bytes(ledger_file.read_bytes())
    found = Server(tmp_path, file)
    found.wait()
    page = open_page(browser, found)
    page.evaluate("() => { window.kept = true; }")
    assert found.stop() == 0
    expect(page.locator("#connection")).to_have_text("connection lost, trying again")
    bar_time = append_bar(file, two_models()[1])
    again = Server(tmp_path, file, port=found.port)
    expect(page.locator("#connection")).to_have_text("live", timeout=20_000)
    page.wait_for_function("bar => charts.data().times.at(-1) === bar", arg=bar_time)
    assert page.evaluate("() => window.kept") is True
    page.close()
    assert again.stop() == 0


@pytest.mark.parametrize("width", [390, 768, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_width_overflows_and_axe_is_content(browser: Browser, server: Server, width: int, scheme: Any) -> None:
    page = open_page(browser, server, viewport={"width": width, "height": 844}, color_scheme=scheme)
    assert page.evaluate("() => document.documentElement.scrollWidth") <= width
    wide = page.evaluate(
        "() => [...document.querySelectorAll('.scroll')].filter(box => box.scrollWidth > box.clientWidth + 1).length"
    )
    assert wide == 0
    assert serious(page) == []
    page.close()


@pytest.mark.parametrize("path", ["api/v1/docs", "api/v1/report"])
@pytest.mark.parametrize("width", [390, 1280])
def test_the_other_pages_fit_and_can_be_read(browser: Browser, server: Server, path: str, width: int) -> None:
    page = browser.new_page(viewport={"width": width, "height": 844}, color_scheme="dark")
    page.goto(server.url + path)
    assert page.evaluate("() => document.documentElement.scrollWidth") <= width
    assert serious(page) == []
    page.close()


def serious(page: Page) -> list[str]:
    """What axe finds serious or worse."""
    found = Axe().run(page).response["violations"]
    return [
        f"{one['id']}: {one['nodes'][0]['html'][:200]}" for one in found if one["impact"] in {"serious", "critical"}
    ]


def test_before_there_is_a_ledger_the_page_waits_and_goes_on(
    browser: Browser, tmp_path: Path, ledger_file: Path
) -> None:
    found = Server(tmp_path, tmp_path / "later.sqlite")
    found.wait()
    page = browser.new_page()
    page.goto(found.url)
    expect(page.locator("#waiting")).to_contain_text("there is no ledger at")
    (tmp_path / "part").write_bytes(ledger_file.read_bytes())
    (tmp_path / "part").rename(tmp_path / "later.sqlite")
    expect(page.locator(".card h3").first).to_have_text("main", timeout=20_000)
    page.close()
    assert found.stop() == 0
