"""A report in a browser: on a phone, in the dark, on paper, without a script and without a network."""

import json
import shutil

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.service import Service

from tests import reports


LIGHT, DARK = "light", "dark"
PHONE, DESK = 360, 1240  # pixels
TEXT_CONTRAST = 4.5  # of WCAG's AA, for text of any size

CONTRASTS = """
const canvas = document.createElement("canvas");
canvas.width = canvas.height = 1;
const pixel = canvas.getContext("2d", { willReadFrequently: true });
const paint = color => { pixel.fillStyle = color; pixel.fillRect(0, 0, 1, 1); };
const read = () => [...pixel.getImageData(0, 0, 1, 1).data].slice(0, 3);
const luminance = color => {
  const [r, g, b] = color.map(part => (part /= 255) <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4);
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};
for (const details of document.querySelectorAll("details")) details.open = true;
const words = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
const found = [];
while (words.nextNode()) {
  const text = words.currentNode.data.trim(), element = words.currentNode.parentElement;
  if (!text || !element.getClientRects().length || element.closest(".unseen, svg title")) continue;
  const behind = [];
  for (let parent = element; parent; parent = parent.parentElement) {
    behind.unshift(getComputedStyle(parent).backgroundColor);
  }
  paint("white");
  behind.forEach(paint);
  const paper = luminance(read());
  const style = getComputedStyle(element);
  paint(element.closest("svg") ? style.fill : style.color);
  const ink = luminance(read());
  found.push([(Math.max(paper, ink) + 0.05) / (Math.min(paper, ink) + 0.05), text]);
}
return found;
"""


@pytest.fixture(scope="module")
def browser():
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not chromium or not driver:
        pytest.skip("chromium and chromedriver are not installed")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    with webdriver.Chrome(options=options, service=Service(driver)) as started:
        yield started


@pytest.fixture(params=["births", "digits"])
def opened(browser, babyweight_job, mnist_job, request):
    """Open a page, of numbers with a comparison or of classes, with a width and a scheme."""
    jobs = {"births": (babyweight_job, mnist_job), "digits": (mnist_job,)}
    file = reports.file_of(*jobs[request.param])

    def at(width, scheme=LIGHT, **more):
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        media = {"features": [{"name": "prefers-color-scheme", "value": scheme}], **more}
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
        browser.get(f"file://{file}")
        return browser

    return at


def requested(browser):
    """The addresses that the page has asked for."""
    events = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    return [e["params"]["request"]["url"] for e in events if e["method"] == "Network.requestWillBeSent"]


def test_a_page_asks_for_nothing_and_complains_of_nothing(opened):
    browser = opened(DESK)
    assert browser.get_log("browser") == []
    assert [url for url in requested(browser) if not url.startswith(("data:", "file:", "chrome"))] == []
    assert len([url for url in requested(browser) if url.startswith("file:")]) <= 1
    assert browser.execute_script("return document.compatMode") == "CSS1Compat"
    assert browser.execute_script(
        "return document.querySelectorAll('img').length ? [...document.images]"
        ".every(image => image.naturalWidth === 28) : true"
    )


@pytest.mark.parametrize("width", [PHONE, 700, DESK])
def test_a_page_does_not_scroll_sideways(opened, width):
    browser = opened(width)
    browser.execute_script("for (const details of document.querySelectorAll('details')) details.open = true")
    assert browser.execute_script("return document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    beyond = browser.execute_script(
        "return [...document.querySelectorAll('main *, header *')].filter(e => !e.closest('.scroll, svg, .unseen') && "
        "e.getBoundingClientRect().right > document.documentElement.clientWidth + 0.5)"
        ".map(e => e.outerHTML.slice(0, 200))"
    )
    assert beyond == []


def test_on_paper_nothing_is_hidden_or_cut(opened):
    browser = opened(718, media="print")
    assert browser.execute_script("return document.documentElement.scrollWidth") <= 718
    assert browser.execute_script(
        "return [...document.querySelectorAll('details table')].every(t => t.getBoundingClientRect().height > 50)"
    )


@pytest.mark.parametrize("scheme", [LIGHT, DARK])
def test_all_text_can_be_read(opened, scheme):
    browser = opened(DESK, scheme)
    found = browser.execute_script(CONTRASTS)
    assert len(found) > 300
    assert [words for contrast, words in found if contrast < TEXT_CONTRAST] == []


def test_the_dark_is_dark(opened):
    for scheme, dark in ((LIGHT, False), (DARK, True)):
        color = opened(DESK, scheme).execute_script("return getComputedStyle(document.documentElement).backgroundColor")
        assert (sum(map(int, color[4:-1].split(","))) < 200) == dark


def test_text_in_drawings_is_large_enough_on_a_phone(opened):
    browser = opened(PHONE)
    least = browser.execute_script(
        "return Math.min(...[...document.querySelectorAll('figure svg text')].map(t => "
        "parseFloat(getComputedStyle(t).fontSize) * Math.hypot(t.getScreenCTM().a, t.getScreenCTM().b)))"
    )
    assert least >= 8.5


def test_what_scrolls_can_be_scrolled_with_the_keyboard(opened):
    browser = opened(PHONE)
    assert browser.execute_script(
        "const boxes = [...document.querySelectorAll('.scroll, pre')];"
        "return boxes.length > 3 && boxes.every(box => box.tabIndex === 0)"
    )


def test_drawings_of_curves_are_within_their_figures(opened):
    browser = opened(DESK)
    beyond = browser.execute_script(
        "return [...document.querySelectorAll('figure svg')].flatMap(svg => { const box = svg.getBoundingClientRect();"
        "return [...svg.querySelectorAll('text')].filter(t => { const own = t.getBoundingClientRect();"
        "return own.left < box.left - 1 || own.right > box.right + 1 || own.top < box.top - 1; })"
        ".map(t => t.textContent); })"
    )
    assert beyond == []
