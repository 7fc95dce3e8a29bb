"""The page in headless Chromium: every figure draws, the console is clean, nothing is fetched, phones and paper fit."""

import base64
import json
import re
import shutil
import time

import numpy as np
import pytest
from scipy.ndimage import distance_transform_edt

from pipeline.report.figures.cortex import cortex_maps
from pipeline.report.figures.cortex_pictures import cortex_pictures
from tests.report.test_cortex import N_VERTICES, decoded

pytestmark = pytest.mark.browser
STUDIES = ["simulated", "listeners", "sounds", "scenes", "pathways", "shuffled", "movies", "cortex"]
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


BLANK_MAPS = """
return Array.from(document.querySelectorAll('.cortex canvas')).filter(function (canvas) {
  const pixels = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
  let painted = 0;
  for (let i = 3; i < pixels.length; i += 4) { painted += pixels[i] === 255; }
  return painted < pixels.length / 8;
}).length;
"""
# a pixel of a picture: where it is on the screen, and its colour
PLACE_OF = """
const canvas = document.querySelector('#' + CSS.escape(arguments[0]) + ' canvas[data-view="' + arguments[1] + '"]');
canvas.scrollIntoView({block: 'center'});
const box = canvas.getBoundingClientRect();
return [box.left + arguments[2] / canvas.width * box.width, box.top + arguments[3] / canvas.height * box.height,
        Array.from(canvas.getContext('2d').getImageData(arguments[2], arguments[3], 1, 1).data)];
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


def place_of(unit, painting):
    """A pixel (column, row) of the first picture in the middle of a unit, and the vertex seen there."""
    pictures = json.loads(cortex_pictures())
    first = pictures["views"][0]
    seen = np.repeat(decoded(first["vertex"], "<u2"), decoded(first["length"], "u1"))
    shown = np.append(decoded(painting["unit"], "<u2"), 65_535)[np.minimum(seen, 2 * N_VERTICES)]
    own = (shown == painting["names"].index(unit)).reshape(pictures["height"], pictures["width"])
    row, column = np.unravel_index(distance_transform_edt(own).argmax(), own.shape)
    return int(column), int(row), int(seen.reshape(own.shape)[row, column])


def test_maps_are_painted_and_a_vertex_tells_its_numbers(cortex, browser, show):
    show(cortex.page(), 1280)
    assert browser.execute_script("return document.querySelectorAll('.cortex canvas').length") == 3 * 11 * 4
    assert browser.execute_script(BLANK_MAPS) == 0
    view = next(one for one in cortex.views if one.group == "FR")
    figure = cortex_maps(view)
    painting = json.loads(figure.shared[f"{view.id}-cortex-painting"])
    layers, scores, levels = (panel for panel in figure.panels if ": " in panel.title and "net-zh" in panel.title)
    table = view.units[(view.units["model"] == "net-zh") & (view.units["hemisphere"] == "left")].set_index("unit")
    best, worst = table["score"].idxmax(), table.loc[table["best_layer"] == "block5", "score"].idxmax()
    for unit in (best, worst):
        row = table.loc[unit]
        column, line, vertex = place_of(unit, painting)
        for panel in (layers, scores, levels):
            x, y, pixel = browser.execute_script(PLACE_OF, panel.id, 0, column, line)
            browser.execute_cdp_cmd("Input.dispatchMouseEvent", {"type": "mouseMoved", "x": x, "y": y})
            shown = browser.execute_script("return document.querySelector('.cortex-tip').textContent").replace("−", "-")
            assert shown.splitlines() == [
                f"{unit}, vertex {vertex}",
                f"{row['region']}, left hemisphere",
                f"r = {row['score']:.3f} [{row['ci_low']:.3f}, {row['ci_high']:.3f}]",
                f"best layer {row['best_layer']} (depth {row['best_layer_depth']:.2f})",
                "q = 0.0004",
            ]
            assert pixel[3] == 255
        # the layer's colour, darkened by the light alone
        number = int(row["best_layer"].removeprefix("block"))
        colour = [int(layers.colours[number][i : i + 2], 16) for i in (1, 3, 5)]
        pixel = browser.execute_script(PLACE_OF, layers.id, 0, column, line)[2]
        shade = max(pixel[:3]) / max(colour)
        assert 0.5 < shade <= 1
        assert pixel[:3] == pytest.approx([shade * part for part in colour], abs=2.5)


def test_beside_the_brain_nothing_is_told(cortex, browser, show):
    show(cortex.page(), 1280)
    panel = cortex_maps(cortex.views[0]).panels[0]
    x, y, pixel = browser.execute_script(PLACE_OF, panel.id, 0, 3, 3)
    assert pixel[3] == 0
    browser.execute_cdp_cmd("Input.dispatchMouseEvent", {"type": "mouseMoved", "x": x, "y": y})
    assert browser.execute_script("return document.querySelector('.cortex-tip').hidden")


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
