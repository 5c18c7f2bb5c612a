"""The report in a browser: no errors, hover, the switch, no overlap, and soon there."""

import shutil
import time

import pytest

from tests.test_cli import nsim

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="needs chromium and its driver"),
]


@pytest.fixture(scope="module")
def browser():
    webdriver = pytest.importorskip("selenium.webdriver")
    options = webdriver.ChromeOptions()
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"):
        options.add_argument(argument)
    options.binary_location = CHROMIUM
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    driver.set_window_size(1100, 2400)
    yield driver
    driver.quit()


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """128 cores and 10,000 timesteps."""
    path = tmp_path_factory.mktemp("browser") / "page.html"
    run = ("run", "mlp:width=128,depth=2,inputs=16", "--chip", "loihi2", "--partition", "even:64")
    done = nsim(*run, "--activity", "0.02", "--timesteps", "10000", "--report", path)
    assert done.returncode == 0, done.stderr
    assert "128 of 128 cores" in done.stdout
    return path


OVERLAPS = """
const texts = [...document.querySelectorAll('h1, h2, p, button.theme, label, select')];
const boxes = texts.map(each => each.getBoundingClientRect());
let found = 0;
for (const [i, a] of boxes.entries()) for (const b of boxes.slice(i + 1))
  if (a.left < b.right - 1 && b.left < a.right - 1 && a.top < b.bottom - 1 && b.top < a.bottom - 1) found++;
return found;
"""


def test_the_page_opens_soon_without_errors_and_works(browser, page):
    from selenium.webdriver.common.by import By
    from selenium.webdriver.support.ui import Select

    start = time.perf_counter()
    browser.get(page.as_uri())
    assert browser.execute_script("return document.querySelectorAll('.main-svg').length") > 5
    assert time.perf_counter() - start < 2
    colours = "return JSON.stringify(document.getElementById('fig-mesh')._fullData.map(t => t.marker.color))"
    before = browser.execute_script(colours)
    Select(browser.find_element(By.ID, "metric")).select_by_value("busy")
    assert browser.execute_script(colours) != before
    browser.execute_script("Plotly.Fx.hover('fig-mesh', [{curveNumber: 0, pointNumber: 0}])")
    assert "us busy" in browser.execute_script("return document.querySelector('#fig-mesh .hoverlayer').textContent")
    Select(browser.find_element(By.ID, "metric")).select_by_value("energy")
    scales = "return document.getElementById('fig-mesh')._fullData.map(t => t.marker.showscale)"
    assert browser.execute_script(scales) == [True, False]  # no energy of Loihi 2's links is known: no scale for them
    headings = browser.find_elements(By.CSS_SELECTOR, "#layers th button")
    column = [heading.text for heading in headings].index("known_dynamic_energy_fj")
    headings[column].click()
    cells = browser.find_elements(By.CSS_SELECTOR, f"#layers tbody td:nth-child({column + 1})")
    shown = [cell.text for cell in cells]
    assert list(map(float, shown)) == sorted(map(float, shown))
    for width in (1100, 500):
        browser.set_window_size(width, 2400)
        assert browser.execute_script(OVERLAPS) == 0
    light = browser.get_screenshot_as_png()
    browser.find_element(By.ID, "theme").click()
    assert browser.get_screenshot_as_png() != light
    assert len(light) > 20_000  # a blank page is a tenth of that
    assert not [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"]
