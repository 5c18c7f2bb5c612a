"""The report in a browser: no errors, the switch, nothing blank, text that can be read, and none on another."""

import io
import json
import shutil

import numpy as np
import pytest

from tests.generators.commands import nsim

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


OTHERS = {
    "frame": ("run", "cnn", "--chip", "akd1000", "--samples", "2", "--critical-path"),
    "stream": ("run", "speck-gesture", "--chip", "speck", "--input", "edges:rate=2e4,seconds=0.01", "--critical-path"),
    "tick": ("run", "random:p1=0.95,p3=0.1", "--chip", "mosaic", "--activity", "0.1", "--timesteps", "3"),
}


@pytest.fixture(scope="module")
def pages(tmp_path_factory, page):
    """A page of every discipline, and a comparison."""
    folder = tmp_path_factory.mktemp("pages")
    found = {"barrier": page}
    for name, run in OTHERS.items():
        found[name] = folder / f"{name}.html"
        assert nsim(*run, "--out", folder / name, "--report", found[name]).returncode == 0
    found["comparison"] = folder / "comparison.html"
    assert nsim("compare", folder / "frame", folder / "frame", "--out", found["comparison"]).returncode == 0
    return found


def opened(browser, page, width=1100):
    """The page in a window of this width, narrower than a window can be."""
    metrics = {"width": width, "height": 2400, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    browser.get(page.as_uri())


# How many texts figures have, how large the smallest is, and pairs of texts whose boxes share more than a pixel
TEXTS = """
const drawn = [...document.querySelectorAll('.figure:not([hidden]) svg text')].filter(each => each.textContent.trim());
const words = [...document.querySelectorAll('h1, h2, p, button.theme, label, select')];
const size = each => parseFloat(getComputedStyle(each).fontSize)
    * each.ownerSVGElement.getBoundingClientRect().width / each.ownerSVGElement.viewBox.baseVal.width;
const texts = [...words, ...drawn];
const boxes = texts.map(each => each.getBoundingClientRect());
const found = [];
for (const [i, a] of boxes.entries()) for (let j = i + 1; j < boxes.length; j++) {
  const b = boxes[j];
  if (a.left < b.right - 1 && b.left < a.right - 1 && a.top < b.bottom - 1 && b.top < a.bottom - 1)
    found.push([texts[i].textContent, texts[j].textContent]);
}
return [drawn.length, Math.min(...drawn.map(size)), found];
"""


def test_the_page_opens_without_errors_and_works(browser, page):
    from selenium.webdriver.common.by import By
    from selenium.webdriver.support.ui import Select

    opened(browser, page)
    assert browser.execute_script("return document.querySelectorAll('.figure svg').length") > 5
    layers, values = browser.find_elements(By.CSS_SELECTOR, "[id^=fig-mesh]")
    assert layers.is_displayed() and not values.is_displayed()
    chosen = Select(browser.find_element(By.ID, "metric"))
    colours = "return [...document.querySelectorAll('#fig-mesh-2 .cores path')].map(each => each.style.fill)"
    scale = "return [...document.querySelectorAll('#fig-mesh-2 .cores-scale text')].map(each => each.textContent)"
    shown = {}
    for metric in ("synops", "busy", "energy"):
        chosen.select_by_value(metric)
        assert values.is_displayed() and not layers.is_displayed()
        shown[metric] = browser.execute_script(colours), browser.execute_script(scale)
    assert len(shown["busy"][0]) == 128 and shown["busy"][0] != shown["synops"][0]
    assert [said[-1] for _, said in shown.values()] == ["cores: synops", "cores: busy (us)", "cores: energy (nJ)"]
    chosen.select_by_value("layer")
    assert layers.is_displayed() and not values.is_displayed()
    headings = browser.find_elements(By.CSS_SELECTOR, "#layers th button")
    column = [heading.text for heading in headings].index("known dynamic energy")
    headings[column].click()
    cells = browser.find_elements(By.CSS_SELECTOR, f"#layers tbody td:nth-child({column + 1})")
    values = [float(cell.get_attribute("data-value")) for cell in cells]
    assert values == sorted(values)
    assert not [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"]


def test_a_page_of_128_cores_and_10_000_timesteps_is_below_a_megabyte(page):
    assert page.stat().st_size < 1_000_000


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("name", ["barrier", *OTHERS, "comparison"])
def test_texts_can_be_read(browser, pages, name, width):
    """None lies on another, and on a phone the smallest letters are those of a footnote."""
    opened(browser, pages[name], width)
    texts, smallest, overlaps = browser.execute_script(TEXTS)
    assert texts > 10
    assert smallest > 7.9
    assert overlaps == []
    assert browser.execute_script("return document.documentElement.scrollWidth") <= width


def test_overlaps_are_found(browser, pages):
    """The check above on a page whose first figure has its texts 30 pixels lower."""
    opened(browser, pages["barrier"])
    moved = "document.querySelectorAll('.figure svg text').forEach((each, n) => n % 2 && each.setAttribute('dy', 12))"
    browser.execute_script(moved)
    assert browser.execute_script(TEXTS)[2]


@pytest.mark.parametrize("name", ["barrier", *OTHERS, "comparison"])
def test_no_figure_is_blank_in_either_scheme(browser, pages, name):
    """Without scripts, too: these only switch."""
    browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        opened(browser, pages[name])
        drawn = {"no script": _inked(browser)}
    finally:
        browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})
    opened(browser, pages[name])
    drawn["light"] = _inked(browser)
    browser.find_element("id", "theme").click()
    drawn["dark"] = _inked(browser)
    for scheme, figures in drawn.items():
        assert figures.keys() == drawn["light"].keys() and len(figures) >= 2
        for figure, (colours, share) in figures.items():
            assert colours > 20, (scheme, figure)
            assert share > 0.01, (scheme, figure)


def _inked(browser):
    """By figure: number of colours, and share of the pixels that are not of the commonest."""
    from PIL import Image

    found = {}
    for figure in browser.find_elements("css selector", ".figure:not([hidden])"):
        browser.execute_script("arguments[0].scrollIntoView({ block: 'center' })", figure)  # or it is cut off
        pixels = np.asarray(Image.open(io.BytesIO(figure.screenshot_as_png)).convert("RGB")).reshape(-1, 3)
        _, counts = np.unique(pixels, axis=0, return_counts=True)
        found[figure.get_attribute("id")] = (counts.size, 1 - counts.max() / counts.sum())
    return found


def test_a_page_of_steps_shows_what_it_holds(browser, tmp_path):
    from selenium.webdriver.common.by import By

    (tmp_path / "steps.txt").write_text("break queue full\npage steps.html 60\n")
    command = ("step", "mlp:width=16,depth=2,inputs=16", "--chip", "loihi2", "--activity", 0.5, "--timesteps", 2)
    assert nsim(*command, "--commands", "steps.txt", cwd=tmp_path).returncode == 0
    browser.get((tmp_path / "steps.html").as_uri() + "#40")
    moments = json.loads(browser.execute_script("return document.getElementById('moments').textContent"))
    held = {}
    for each in moments[:41]:
        held |= each["changed"]
    table = "return [...document.querySelectorAll('#stations tr')].map(row => row.cells[0].textContent)"
    assert browser.execute_script(table) == [held[key]["station"] for key in sorted(held, key=int) if held[key]]
    browser.find_element(By.ID, "on").click()
    assert "(41 of 60)" in browser.find_element(By.ID, "where").text
    assert browser.find_element(By.ID, "said").text == moments[41]["said"]
    assert not [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"]
