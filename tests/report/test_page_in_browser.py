"""The page in headless Chromium: every figure draws, the console is clean, nothing is fetched, phones and paper fit."""

import base64
import re
import shutil
import time

import pytest

pytestmark = pytest.mark.browser
STUDIES = ["simulated", "listeners", "sounds", "scenes", "pathways", "shuffled", "movies"]
FLAGS = (
    "--headless=new --no-sandbox --disable-gpu --disable-dev-shm-usage --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --window-size=1280,900"
)
TIMEOUT_S = 60
DRAWN = "return document.documentElement.dataset.drawn === 'all'"
EMPTY = """
return Array.from(document.querySelectorAll('.plot')).filter(function (plot) {
  return !plot.querySelector('.scatterlayer .trace path, .heatmaplayer image, .barlayer path');
}).map(function (plot) { return plot.id; });
"""


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    chromium, driver = (shutil.which(name) for name in ("chromium", "chromedriver"))
    if chromium is None or driver is None:
        pytest.skip("needs chromium and chromedriver; install both with: tools/install_browser.sh")
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for flag in [*FLAGS.split(), f"--user-data-dir={tmp_path_factory.mktemp('profile')}"]:
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    opened = webdriver.Chrome(options=options, service=Service(driver))
    yield opened
    opened.quit()


@pytest.fixture(scope="module")
def show(browser, tmp_path_factory):
    """Opens a page at a width and waits until all figures are drawn."""

    def at(page, width):
        path = tmp_path_factory.mktemp("page") / "index.html"
        path.write_text(page, encoding="utf-8")
        browser.execute_cdp_cmd(
            "Emulation.setDeviceMetricsOverride",
            {"width": width, "height": 844, "deviceScaleFactor": 1, "mobile": width < 500},
        )
        browser.get_log("browser")
        browser.get(path.as_uri())
        until = time.monotonic() + TIMEOUT_S
        while not browser.execute_script(DRAWN):
            assert time.monotonic() < until, f"figures not drawn after {TIMEOUT_S} s: {browser.get_log('browser')}"
            time.sleep(0.05)

    return at


@pytest.mark.parametrize("name", STUDIES)
def test_figures_draw_the_console_is_clean_and_nothing_is_fetched(name, request, browser, show):
    page = request.getfixturevalue(name).page()
    show(page, 1280)
    expected = page.count('class="plot"')
    assert browser.execute_script("return document.querySelectorAll('.js-plotly-plot').length") == expected > 10
    assert browser.execute_script(EMPTY) == []
    assert browser.get_log("browser") == []
    assert browser.execute_script("return performance.getEntriesByType('resource').map(e => e.name)") == []


@pytest.mark.parametrize("name", STUDIES)
def test_a_phone_needs_no_sideways_scrolling_of_the_page(name, request, browser, show):
    show(request.getfixturevalue(name).page(), 390)
    assert browser.execute_script("return document.documentElement.scrollWidth") == 390
    assert browser.execute_script("return document.body.scrollWidth") <= 390


def test_numbers_appear_on_hovering(simulated, browser, show):
    from selenium.webdriver import ActionChains

    show(simulated.page(), 1280)
    plot = browser.find_element("css selector", "[id$='-heat-net'] .nsewdrag")
    browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", plot)
    ActionChains(browser).move_to_element_with_offset(plot, -plot.size["width"] // 2 + 10, 0).pause(0.5).perform()
    shown = browser.execute_script("return document.querySelector('[id$=\"-heat-net\"] .hoverlayer').textContent")
    assert "VISp, block4" in shown
    assert re.search(r"score [−-]?0\.\d", shown)


def test_the_policy_of_the_page_forbids_the_network(simulated, browser, show):
    show(simulated.page(), 1280)
    script = "fetch('http://127.0.0.1:9/').then(() => arguments[0]('sent'), () => arguments[0]('refused'));"
    assert browser.execute_async_script(script) == "refused"
    assert any("Content Security Policy" in entry["message"] for entry in browser.get_log("browser"))


def test_paper_holds_every_figure(simulated, browser, show):
    show(simulated.page(), 1280)
    printed = browser.execute_cdp_cmd("Page.printToPDF", {"printBackground": True})
    document = base64.b64decode(printed["data"])
    assert len(re.findall(rb"/Type\s*/Page\b", document)) > 1
    assert len(document) > 50_000
