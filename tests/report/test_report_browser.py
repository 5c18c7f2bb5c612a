"""The report in a browser: no errors, hover, the switch, nothing blank, and no text on another."""

import io
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


def opened(browser, page):
    """The page, once its figures are drawn."""
    from selenium.webdriver.support.ui import WebDriverWait

    browser.get(page.as_uri())
    WebDriverWait(browser, 60).until(
        lambda driver: driver.execute_script("return document.documentElement.dataset.drawn")
    )


# How many texts figures have, and pairs of texts whose boxes share more than a pixel. The box of a tick label that is
# turned holds more than its letters: two of these are not compared with each other.
OVERLAPS = """
const seen = each => each.textContent.trim() && !each.closest('.hoverlayer');
const drawn = [...document.querySelectorAll('.main-svg text')].filter(seen);
const words = [...document.querySelectorAll('h1, h2, p, button.theme, label, select')];
const turned = each => each.closest('.xtick') && /rotate\\((?!0[,)])/.test(each.getAttribute('transform') || '');
const texts = [...words, ...drawn];
const boxes = texts.map(each => each.getBoundingClientRect());
const found = [];
for (const [i, a] of boxes.entries()) for (let j = i + 1; j < boxes.length; j++) {
  const b = boxes[j];
  if (a.left < b.right - 1 && b.left < a.right - 1 && a.top < b.bottom - 1 && b.top < a.bottom - 1)
    if (!(turned(texts[i]) && turned(texts[j]))) found.push([texts[i].textContent, texts[j].textContent]);
}
return [drawn.length, found];
"""


def test_the_page_opens_without_errors_and_works(browser, page):
    from selenium.webdriver.common.by import By
    from selenium.webdriver.support.ui import Select

    opened(browser, page)
    assert browser.execute_script("return document.querySelectorAll('.main-svg').length") > 5
    colours = "return JSON.stringify(document.getElementById('fig-mesh')._fullData.map(t => t.marker.color))"
    before = browser.execute_script(colours)
    Select(browser.find_element(By.ID, "metric")).select_by_value("busy")
    assert browser.execute_script(colours) != before
    browser.execute_script("Plotly.Fx.hover('fig-mesh', [{curveNumber: 0, pointNumber: 0}])")
    assert "us busy" in browser.execute_script("return document.querySelector('#fig-mesh .hoverlayer').textContent")
    Select(browser.find_element(By.ID, "metric")).select_by_value("energy")
    scales = "return document.getElementById('fig-mesh')._fullData.map(t => t.marker.showscale)"
    assert browser.execute_script(scales) == [True, True]  # energies of links are assumed, so they have a scale, too
    headings = browser.find_elements(By.CSS_SELECTOR, "#layers th button")
    column = [heading.text for heading in headings].index("known_dynamic_energy_fj")
    headings[column].click()
    cells = browser.find_elements(By.CSS_SELECTOR, f"#layers tbody td:nth-child({column + 1})")
    shown = [cell.text for cell in cells]
    values = [float(text.replace(",", "")) for text in shown]
    assert values == sorted(values)
    assert not [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"]


def test_a_page_of_128_cores_and_10_000_timesteps_is_below_a_megabyte(page):
    assert page.stat().st_size < 1_000_000


@pytest.mark.parametrize("width", [1100, 500])
@pytest.mark.parametrize("name", ["barrier", *OTHERS, "comparison"])
def test_no_text_lies_on_another(browser, pages, name, width):
    browser.set_window_size(width, 2400)
    opened(browser, pages[name])
    texts, overlaps = browser.execute_script(OVERLAPS)
    assert texts > 10
    assert overlaps == []


def test_overlaps_are_found(browser, pages):
    """The check above on a page whose axis titles were moved onto its tick labels."""
    browser.set_window_size(1100, 2400)
    opened(browser, pages["barrier"])
    browser.execute_script("document.querySelectorAll('.xtitle').forEach(each => each.setAttribute('dy', '-1.5em'))")
    assert browser.execute_script(OVERLAPS)[1]


@pytest.mark.parametrize("name", ["barrier", *OTHERS, "comparison"])
def test_no_figure_is_blank_in_either_scheme(browser, pages, name):
    """Against the same page without its scripts: there a figure is one colour."""
    drawn = {}
    for scripts in (True, False):
        browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": not scripts})
        try:
            if scripts:
                opened(browser, pages[name])
            else:
                browser.get(pages[name].as_uri())
            drawn[scripts] = _inked(browser)
            if scripts:
                browser.find_element("id", "theme").click()
                drawn["dark"] = _inked(browser)
        finally:
            browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})
    assert set(drawn[False].values()) == {(1, 0.0)}
    for scheme in (True, "dark"):
        assert drawn[scheme].keys() == drawn[False].keys()
        for figure, (colours, share) in drawn[scheme].items():
            assert colours > 20, figure
            assert share > 0.01, figure


def _inked(browser):
    """By figure: number of colours, and share of the pixels that are not of the commonest."""
    from PIL import Image

    found = {}
    for figure in browser.find_elements("css selector", ".figure"):
        browser.execute_script("arguments[0].scrollIntoView({ block: 'center' })", figure)  # or it is cut off
        pixels = np.asarray(Image.open(io.BytesIO(figure.screenshot_as_png)).convert("RGB")).reshape(-1, 3)
        _, counts = np.unique(pixels, axis=0, return_counts=True)
        found[figure.get_attribute("id")] = (counts.size, 1 - counts.max() / counts.sum())
    return found
