"""The page of the prediction server: its files over HTTP, and in headless Chromium against the real server."""

import contextlib
import json
import math
import re
import shutil
import threading
from importlib import resources

import numpy as np
import pytest
import uvicorn
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import Select, WebDriverWait
from starlette.applications import Starlette
from test_serving_model import write_model

from tests.serving import DEADLINE, ask, is_ready, serving, wait_until
from trainer.experiments.babyweight import RACES
from trainer.serving import model as calling
from trainer.serving import page
from trainer.serving.locate import locate
from trainer.serving.options import Limits


PAGES = resources.files("trainer.serving").joinpath("pages")
TOKEN = b"open-sesame"
KILOGRAMS = 0.45359237  # in a pound
BABY = {
    "is_male": "False",
    "mother_age": 27,
    "mother_race": "White",
    "plurality": 1,
    "gestation_weeks": 39,
    "mother_married": "False",
    "cigarette_use": "False",
    "alcohol_use": "False",
}  # what the form begins with
LIGHT, DARK = "light", "dark"
PATIENCE = 20  # seconds for something to appear


# Over HTTP


@contextlib.contextmanager
def pages(describe):
    """The routes of the page alone, on a thread."""
    server = uvicorn.Server(
        uvicorn.Config(Starlette(routes=page.routes(describe)), port=0, log_config=None, lifespan="off")
    )
    with contextlib.closing(server.config.bind_socket()) as bound:
        thread = threading.Thread(target=server.run, args=([bound],), daemon=True)
        thread.start()
        try:
            wait_until(lambda: server.started)
            yield f"http://127.0.0.1:{bound.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(DEADLINE)


@pytest.fixture(scope="module")
def described():
    """What the models are said to be: a list that a test may change."""
    return []


@pytest.fixture(scope="module")
def files(described):
    """The address of a server of the page alone."""
    with pages(lambda: list(described)) as url:
        yield url


@pytest.mark.parametrize(
    ("path", "media_type"),
    [
        ("/", "text/html"),
        ("/page/style.css", "text/css"),
        ("/page/page.js", "text/javascript"),
        ("/page/icon.svg", "image/svg+xml"),
    ],
)
def test_a_file_is_sent_whole_with_its_media_type(files, path, media_type):
    answer = ask(files, path)
    assert answer.status == 200
    assert answer.headers["content-type"].split(";")[0] == media_type
    assert answer.content == PAGES.joinpath(path.rpartition("/")[2] or "index.html").read_bytes()


@pytest.mark.parametrize("path", ["/", "/page/page.js", "/page/models.json"])
def test_every_response_forbids_what_the_page_does_not_need(files, path):
    headers = ask(files, path).headers
    policy = dict(part.strip().split(" ", 1) for part in headers["content-security-policy"].split(";"))
    assert policy == {
        "default-src": "'self'",
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
    }
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"


@pytest.mark.parametrize(
    "path",
    [
        "/page/",
        "/page/nothing.js",
        "/page/../page.py",
        "/page/%2e%2e/page.py",
        "/page/..%2fpage.py",
        "/page//etc/passwd",
        "/page/%2fetc%2fpasswd",
        "/page/style.css/../../page.py",
    ],
)
def test_nothing_but_the_files_of_the_page_is_sent(files, path):
    assert ask(files, path).status == 404


def test_the_models_are_asked_for_every_time_and_never_kept(files, described):
    described.append({"name": "a", "version": "1", "schema": {"default": math.nan}, "signatures": {}})
    try:
        answer = ask(files, "/page/models.json")
        assert answer.content == [{"name": "a", "version": "1", "schema": {"default": None}, "signatures": {}}]
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["content-type"].startswith("application/json")
    finally:
        described.clear()
    assert ask(files, "/page/models.json").content == []


def test_the_files_are_open_and_what_is_said_of_the_models_is_not():
    assert {"/", "/page/page.js", "/page/style.css"} <= page.open_paths()
    assert "/page/models.json" not in page.open_paths()


def test_the_page_names_no_other_host():
    for file in PAGES.iterdir():
        hosts = set(re.findall(r"(?:https?:)?//[a-z][\w.-]+\.[a-z]+", file.read_text(encoding="utf-8")))
        assert hosts <= {"http://www.w3.org"}, file.name


def luminance(color):
    parts = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return float(np.dot(linear, [0.2126, 0.7152, 0.0722]))


@pytest.mark.parametrize("scheme", [LIGHT, DARK])
def test_text_has_the_contrast_of_aa_and_marks_that_of_graphics(scheme):
    css = PAGES.joinpath("style.css").read_text(encoding="utf-8")
    blocks = [dict(re.findall(r"--([\w-]+): (#\w{6})", block)) for block in re.findall(r":root {(.*?)}", css, re.S)]
    assert len(blocks) == 2
    colors = blocks[[LIGHT, DARK].index(scheme)]
    pairs = [
        *((4.5, text, under) for text in ("ink", "soft", "accent", "now") for under in ("paper", "card")),
        *((4.5, text, under) for text, under in (("ink", "bad-tint"), ("bad", "card"), ("on-accent", "accent"))),
        *((3.0, mark, under) for mark in ("accent", "edge") for under in ("card", "tint")),
    ]
    for least, above, under in pairs:
        low, high = sorted((luminance(colors[above]), luminance(colors[under])))
        assert (high + 0.05) / (low + 0.05) >= least, (above, under)


# In a browser


@pytest.fixture(scope="module")
def jobs(babyweight_job, mnist_job, flowers, train, tmp_path_factory):
    """A directory to serve for each kind of view: two forms, a digit, and a model that says nothing of itself."""
    iris = str(tmp_path_factory.mktemp("iris"))
    train("tests.iris_experiment", data_dir=flowers, job_dir=iris, train_steps=40)
    toy = tmp_path_factory.mktemp("toy")
    write_model(str(toy))
    shutil.rmtree(toy / "assets.extra")
    return {"babyweight": babyweight_job, "iris": iris, "mnist": mnist_job, "toy": str(toy)}


@pytest.fixture(scope="module")
def predict(jobs):
    """The answers of a model in this process."""
    models = {name: calling.load(locate(job)) for name, job in jobs.items()}
    return lambda name, instances: calling.predict(models[name], instances)


@pytest.fixture(scope="module")
def url(jobs):
    with serving(*jobs.items()) as address:
        yield address


@pytest.fixture(scope="module")
def browser():
    """Chromium, which is never downloaded."""
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not chromium or not driver:
        pytest.skip("chromium and chromedriver are not installed")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    with webdriver.Chrome(options=options, service=Service(driver)) as started:
        started.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": WATCH})
        yield started


# Every request's body, in order; one that `hold` picks waits until `release` is called. The answers are the server's.
WATCH = """
window.sent = [];
window.hold = () => false;
const real = window.fetch;
window.fetch = async (path, options) => {
  window.sent.push(options?.body ?? null);
  if (window.hold(options?.body)) await new Promise((resolve) => (window.release = resolve));
  return real(path, options);
};
"""


class View:
    """What the page shows of one model."""

    def __init__(self, browser, url, name, *, width=1280):
        self.browser = browser
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        browser.get("about:blank")
        browser.get_log("browser")
        browser.get(f"{url}/#{name}")
        self.until(lambda: self.all("h1"))

    def until(self, condition):
        """Wait for a condition to be true; gives what it is."""
        return WebDriverWait(self.browser, PATIENCE, poll_frequency=0.05).until(lambda _: condition())

    def all(self, selector):
        return self.browser.find_elements(By.CSS_SELECTOR, f"article:not([hidden]) {selector}")

    def one(self, selector):
        (found,) = self.all(selector)
        return found

    def labelled(self, text):
        """The input that a label of this text names."""
        named = {label.get_attribute("textContent"): label.get_attribute("for") for label in self.all("label")}
        return self.one(f"[id='{named[text]}']")

    def run(self, script, *arguments):
        return self.browser.execute_script(script, *arguments)

    def texts(self, selector):
        """The texts of all elements at one moment."""
        script = "return [...document.querySelectorAll(arguments[0])].map((one) => one.textContent)"
        return self.run(script, f"article:not([hidden]) {selector}")

    def numbers(self, selector):
        """The exact numbers behind what is shown, at one moment."""
        script = "return [...document.querySelectorAll(arguments[0])].map((one) => Number(one.value))"
        return self.run(script, f"article:not([hidden]) {selector}")

    def shows(self, expected, selector=".headline data"):
        """Wait until the numbers are these."""

        def are_close():
            now = self.numbers(selector)
            return len(now) == len(expected) and np.allclose(now, expected, rtol=1e-5)

        self.until(are_close)

    def put(self, text, value):
        """Type into the field of a label, or choose there."""
        field = self.labelled(text)
        if field.tag_name == "select":
            Select(field).select_by_visible_text(value)
        else:
            field.send_keys(Keys.CONTROL, "a")
            field.send_keys(str(value))

    def sent(self):
        """The instances of each request so far."""
        return [json.loads(body)["instances"] for body in self.run("return window.sent") if body]

    def draw(self, *points):
        """A stroke through points, shares of the surface."""
        surface = self.one(".surface canvas")
        self.run("arguments[0].scrollIntoView({block: 'center'})", surface)
        width, chain = surface.rect["width"], ActionChains(self.browser, duration=20)
        for i, (x, y) in enumerate(points):
            chain.move_to_element_with_offset(surface, int((x - 0.5) * width), int((y - 0.5) * width))
            if i == 0:
                chain.click_and_hold()
        chain.release().perform()


@pytest.fixture
def baby(browser, url, predict):
    """The form of babyweight, with its first prediction."""
    view = View(browser, url, "babyweight")
    view.shows([predict("babyweight", [BABY])[0]["outputs"]])
    view.until(lambda: view.all(".changes:not([hidden])"))
    return view


def pounds(predict, **changed):
    return predict("babyweight", [BABY | changed])[0]["outputs"]


def test_the_form_has_a_select_a_vocabulary_with_its_words_and_a_number_with_its_unit(baby):
    assert [option.text for option in Select(baby.labelled("Mother race")).options] == list(RACES)
    assert [option.text for option in Select(baby.labelled("Cigarette use")).options] == ["True", "False", "None"]
    units = {"Mother age": ("27", "years"), "Plurality": ("1", "babies"), "Gestation weeks": ("39", "weeks")}
    for text, (value, unit) in units.items():
        field = baby.labelled(f"{text}, {unit}")
        assert field.get_attribute("type") == "number"
        assert field.get_attribute("value") == value
        assert field.find_element(By.XPATH, "following-sibling::span").text == unit
        assert field.find_element(By.XPATH, "following-sibling::span").is_displayed()
    assert len(baby.all("form select")) == 5
    assert len(baby.all("form input[type=number]")) == 3


def test_a_changed_input_changes_the_prediction_to_the_models(baby, predict):
    baby.put("Is male", "True")
    baby.shows([pounds(predict, is_male="True")])
    baby.put("Gestation weeks, weeks", 33.5)
    changed = pounds(predict, is_male="True", gestation_weeks=33.5)
    baby.shows([changed])
    assert abs(changed - pounds(predict)) > 0.1
    assert baby.one(".live").get_attribute("aria-live") == "polite"


def test_a_slider_moves_the_number(baby, predict):
    baby.all("input[type=range]")[1].send_keys(Keys.END)
    assert baby.labelled("Plurality, babies").get_attribute("value") == "5"
    baby.shows([pounds(predict, plurality=5)])


def test_pounds_and_kilograms_agree(baby):
    assert baby.texts(".headline")[0].endswith(" pounds")
    assert baby.texts(".secondary")[0].endswith(" kilograms")
    (in_pounds,), (in_kilograms,) = baby.numbers(".headline data"), baby.numbers(".secondary data")
    assert in_kilograms == pytest.approx(in_pounds * KILOGRAMS)
    assert baby.texts(".headline data") == [f"{in_pounds:.2f}"]
    assert baby.texts(".secondary data") == [f"{in_kilograms:.2f}"]


def test_a_prediction_is_shown_for_every_value_of_every_input(baby, predict):
    for panel in baby.all(".panel"):
        name = panel.get_attribute("data-input")
        words = baby.texts(f"[data-input={name}] tbody th")
        values = [word if isinstance(BABY[name], str) else float(word) for word in words]
        expected = [prediction["outputs"] for prediction in predict("babyweight", [BABY | {name: v} for v in values])]
        np.testing.assert_allclose(baby.numbers(f"[data-input={name}] tbody data"), expected, rtol=1e-5)
        assert BABY[name] in values
        assert len(values) == len(set(values)) >= 2
        now = baby.texts(f"[data-input={name}] tbody tr.strong :is(th, .difference)")
        assert now == [words[values.index(BABY[name])], "now"]
    assert [p.get_attribute("data-input") for p in baby.all(".panel")] == list(BABY)
    assert baby.texts("[data-input=mother_race] tbody th") == list(RACES)
    assert baby.texts("[data-input=plurality] tbody th") == ["1", "2", "3", "4", "5"]
    single, all_variations = baby.sent()
    assert single == [BABY]
    assert len(all_variations) == len(baby.texts(".panel tbody tr"))


def test_the_curve_has_a_point_a_value_and_passes_the_present_one(baby):
    ages = baby.texts("[data-input=mother_age] tbody th")
    points = baby.one("[data-input=mother_age] polyline").get_attribute("points").split()
    dot = baby.one("[data-input=mother_age] .dot.chosen")
    assert len(points) == len(ages)
    x, y = map(float, points[ages.index("27")].split(","))
    assert (float(dot.get_attribute("x1")), float(dot.get_attribute("y1"))) == pytest.approx((x, y))
    numbers = baby.numbers("[data-input=mother_age] tbody data")
    heights = [float(point.split(",")[1]) for point in points]
    np.testing.assert_allclose(np.corrcoef(heights, numbers)[0, 1], -1, atol=1e-5)


def test_the_scale_of_the_charts_is_one_or_each_its_own(baby):
    def spread():
        points = baby.one("[data-input=mother_age] polyline").get_attribute("points").split()
        return np.ptp([float(point.split(",")[1]) for point in points])

    shared = spread()
    baby.labelled("Same scale in all charts").click()
    assert spread() > max(80, 1.2 * shared)


def test_a_number_out_of_the_usual_range_has_its_own_range_around_it(baby, predict):
    baby.put("Mother age, years", 61)
    baby.shows([pounds(predict, mother_age=61)])
    baby.until(lambda: "61" in baby.texts("[data-input=mother_age] tr.strong th"))
    ages = [float(text) for text in baby.texts("[data-input=mother_age] tbody th")]
    assert min(ages) < 50 < 61 < 70 < max(ages)


def test_an_empty_number_is_a_missing_one_which_the_model_fills_in(baby, predict):
    baby.put("Gestation weeks, weeks", 30)
    baby.shows([pounds(predict, gestation_weeks=30)])
    baby.put("Gestation weeks, weeks", Keys.DELETE)
    baby.shows([pounds(predict)])
    assert "Missing: the model takes 39." in baby.texts(".field .hint")


def test_reset_brings_the_first_values_back(baby, predict):
    baby.put("Mother age, years", 40)
    baby.put("Is male", "True")  # last: a number that is left would ask once more by itself
    baby.shows([pounds(predict, is_male="True", mother_age=40)])
    baby.one("button[type=reset]").click()
    baby.shows([pounds(predict)])
    assert baby.labelled("Mother age, years").get_attribute("value") == "27"


def test_a_stale_answer_is_dropped(baby, predict):
    baby.run("window.shown = []; window.hold = (body) => !window.release && body?.includes('\"plurality\":2')")
    baby.run(
        "new MutationObserver(() => window.shown.push(Number(document.querySelector('.headline data').value)))"
        ".observe(document.querySelector('.live'), {childList: true})"
    )
    baby.put("Plurality, babies", 2)
    baby.until(lambda: baby.run("return Boolean(window.release)"))
    baby.put("Plurality, babies", 3)
    baby.run("window.release()")
    baby.shows([pounds(predict, plurality=3)])
    assert not np.isclose(baby.run("return window.shown"), pounds(predict, plurality=2), rtol=1e-5).any()


def test_the_command_for_a_shell_holds_the_same_request(baby, url):
    (text,) = baby.texts(".request code")
    command, body = re.fullmatch(r"curl '(.+)' \\\n  -d '(.+)'", text).groups()
    assert command == f"{url}/v1/projects/-/models/babyweight:predict"
    assert json.loads(body) == {"instances": [BABY]}


def test_a_form_shows_every_output_of_another_model(browser, url, predict):
    flower = {"sepal_length": 5.8, "sepal_width": 3.1, "petal_length": 5.5, "petal_width": 1}
    view = View(browser, url, "iris")
    view.put("Petal length, cm", 5.5)
    (expected,) = predict("iris", [flower])
    view.shows(expected["probabilities"], ".bars data")
    assert view.texts(".headline") == [expected["species"]]
    highest = int(np.argmax(expected["probabilities"]))
    widths = [flower | {"petal_width": float(text)} for text in view.texts("[data-input=petal_width] tbody th")]
    shares = [prediction["probabilities"][highest] for prediction in predict("iris", widths)]
    view.shows(shares, "[data-input=petal_width] tbody data")


def test_a_number_that_the_model_needs_is_asked_for_and_the_last_prediction_is_dimmed(browser, url):
    view = View(browser, url, "iris")
    view.until(lambda: view.all(".answer[data-state=shown]"))
    requests = len(view.sent())
    view.put("Petal length, cm", Keys.DELETE)
    view.until(lambda: view.all(".answer[data-state=old]"))
    field = view.labelled("Petal length, cm")
    assert field.get_attribute("aria-invalid") == "true"
    assert view.one(f"[id='{field.get_attribute('aria-describedby')}']").text == "Expected a number."
    assert all(instance["petal_length"] != "" for instances in view.sent()[requests:] for instance in instances)


@pytest.fixture
def digit(browser, url):
    """The drawing surface."""
    view = View(browser, url, "mnist")
    view.until(lambda: "Draw a digit from 0 to 9." in view.texts(".live .hint"))
    return view


NORMALISED = """
const [done] = arguments;
const {data, width} = document.querySelector("article:not([hidden]) .surface canvas").getContext("2d")
  .getImageData(0, 0, 560, 560);
import("/page/normalise.js").then(({normalise}) => done(normalise(data.filter((_, i) => i % 4 === 3), width)));
"""  # what is on the surface, when all of it is there


def image_of(view):
    """The pixels of the last request."""
    return np.array(view.sent()[-1][0]["inputs"]).reshape(28, 28)


def height_by_width(image):
    """Of the box around the ink."""
    return np.count_nonzero(image.any(axis=1)) / np.count_nonzero(image.any(axis=0))


def test_a_drawing_is_sent_as_an_image_of_mnist_and_answered_with_ten_bars(digit, predict):
    assert digit.texts(".bars .value") == ["–"] * 10
    digit.draw((0.1, 0.1), (0.4, 0.1), (0.3, 0.4))
    digit.until(lambda: digit.numbers(".bars data"))
    drawn = digit.browser.execute_async_script(NORMALISED)
    digit.until(lambda: image_of(digit).ravel().tolist() == drawn)
    image = image_of(digit)
    assert np.count_nonzero(image) < 200, "a dot alone fills the box"
    (expected,) = predict("mnist", [image.ravel().tolist()])
    digit.shows(expected["probabilities"], ".bars data")
    assert image.min() == 0
    assert 0.9 < image.max() <= 1
    assert ((image > 0) & (image < 1)).any(), "no smooth edge"
    rows, columns = np.nonzero(image.any(axis=1))[0], np.nonzero(image.any(axis=0))[0]
    assert 20 <= max(np.ptp(rows), np.ptp(columns)) + 1 <= 21  # at a place between pixels it touches one more
    centre = (np.indices(image.shape) + 0.5).reshape(2, -1) @ image.ravel() / image.sum()
    np.testing.assert_allclose(centre, [14, 14], atol=0.1)
    assert len(digit.texts(".bars th")) == 10
    assert sum(digit.numbers(".bars data")) == pytest.approx(1, abs=1e-5)
    assert digit.texts(".headline") == [str(expected["classes"])]
    assert digit.texts(".bars .strong th") == [str(expected["classes"])]
    widths = [float(bar.get_attribute("width")) for bar in digit.all(".bars .bar")]
    np.testing.assert_allclose(widths, 100 * np.array(expected["probabilities"]), rtol=1e-4)


def test_the_prediction_follows_while_one_draws(digit):
    surface, chain = digit.one(".surface canvas"), ActionChains(digit.browser, duration=20)
    chain.move_to_element(surface).click_and_hold().move_by_offset(140, 9).perform()
    digit.until(lambda: digit.numbers(".bars data") and height_by_width(image_of(digit)) < 1 / 3)
    ActionChains(digit.browser).release().perform()


def test_a_drawing_can_be_made_and_cleared_with_the_keyboard(digit):
    surface = digit.one(".surface canvas")
    digit.run("document.querySelector('article:not([hidden]) .quiet').focus()")
    ActionChains(digit.browser).send_keys(Keys.TAB).perform()
    assert digit.run("return document.activeElement") == surface
    assert digit.one(".cursor").is_displayed()
    ActionChains(digit.browser).send_keys(Keys.ARROW_LEFT * 3, Keys.SPACE).perform()
    digit.until(lambda: digit.numbers(".bars data"))
    assert digit.texts("[role=status]") == ["painted at column 12, row 5"]
    assert height_by_width(image_of(digit)) == 1
    ActionChains(digit.browser).key_down(Keys.SHIFT).send_keys(Keys.ARROW_DOWN * 14).key_up(Keys.SHIFT).perform()
    digit.until(lambda: height_by_width(image_of(digit)) > 3)
    ActionChains(digit.browser).send_keys(Keys.DELETE).perform()
    digit.until(lambda: digit.texts(".bars .value") == ["–"] * 10)
    ActionChains(digit.browser).send_keys(Keys.ENTER).perform()
    digit.until(lambda: digit.numbers(".bars data"))
    next(button for button in digit.all("button") if button.text == "Clear").click()
    digit.until(lambda: digit.texts(".bars .value") == ["–"] * 10)


def test_a_finger_draws_where_it_would_scroll(browser, url):
    view = View(browser, url, "mnist", width=360)
    view.until(lambda: view.texts(".live .hint"))
    box = view.one(".surface canvas").rect
    moves = [("touchStart", 0.9), *(("touchMove", 0.9 - step / 20) for step in range(1, 17)), ("touchEnd", None)]
    for kind, y in moves:
        points = [{"x": box["x"] + box["width"] / 2, "y": box["y"] + y * box["height"]}] if y else []
        browser.execute_cdp_cmd("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
    view.until(lambda: view.numbers(".bars data") and height_by_width(image_of(view)) > 3)
    assert view.run("return [scrollY, document.documentElement.scrollHeight > innerHeight]") == [0, True]


def output(view):
    return json.loads(view.texts(".output")[0] or "null")


@pytest.fixture
def editor(browser, url):
    return View(browser, url, "toy")


def choose(view, signature):
    Select(view.labelled("Signature")).select_by_visible_text(signature)


def write(view, text):
    view.labelled("Instances, a list in JSON").clear()
    view.labelled("Instances, a list in JSON").send_keys(text)


def predict_now(view):
    next(button for button in view.all("button") if button.text == "Predict").click()


def test_the_editor_begins_with_an_example_that_every_signature_answers(editor):
    names = [option.text for option in Select(editor.labelled("Signature")).options]
    assert Select(editor.labelled("Signature")).first_selected_option.text == "serving_default"
    for name in ("serving_default", "image", "column", "echo"):
        assert name in names
        choose(editor, name)
        predict_now(editor)
        outputs = set(editor.texts(".tensors:last-of-type th"))
        editor.until(lambda outputs=outputs: [set(row) for row in output(editor) or []] == [outputs])
        assert not editor.texts(".failure p")


def test_the_editor_sends_what_is_written_and_shows_the_answer(editor, predict):
    instances = [{"is_male": "True", "mother_age": 20}, {"is_male": "x", "mother_age": "NaN"}]
    write(editor, json.dumps(instances))
    editor.labelled("Instances, a list in JSON").send_keys(Keys.CONTROL, Keys.ENTER)
    editor.until(lambda: output(editor) == predict("toy", instances))


def test_the_editor_shows_the_servers_error_and_keeps_what_was_written(editor, url):
    write(editor, '[{"is_male": "True"}]')
    predict_now(editor)
    body = {"instances": [{"is_male": "True"}], "signature_name": "serving_default"}
    said = ask(url, "/v1/projects/-/models/toy:predict", body).content["error"]
    assert "Input mother_age was missing" in said
    editor.until(lambda: editor.texts("[role=alert] p") == [said])
    assert editor.labelled("Instances, a list in JSON").get_attribute("value") == '[{"is_male": "True"}]'


def test_the_editor_names_what_is_not_json_and_asks_the_server_nothing(editor):
    write(editor, "[{]")
    predict_now(editor)
    editor.until(lambda: editor.texts("[role=alert] p"))
    assert editor.texts("[role=alert] p")[0].startswith("The instances are not JSON: ")
    assert editor.sent() == []


def test_another_signature_does_not_replace_what_was_written(editor):
    write(editor, "[1]")
    choose(editor, "column")
    assert editor.labelled("Instances, a list in JSON").get_attribute("value") == "[1]"


def test_the_editor_rounds_no_number(editor):
    script = """const [text, done] = arguments;
    import("/page/example.js").then(({parseExact, pretty}) => done(pretty(parseExact(text))));"""
    text = '{\n  "x": 12345678901234567890,\n  "y": [0.1, 1.0, 9007199254740993, null, true, "a"]\n}'
    assert editor.browser.execute_async_script(script, text) == text


def test_the_address_chooses_the_model_and_what_was_typed_stays(baby, predict):
    baby.put("Plurality, babies", 2)
    baby.shows([pounds(predict, plurality=2)])
    links = {link.text: link for link in baby.browser.find_elements(By.CSS_SELECTOR, "nav a")}
    assert list(links) == ["babyweight", "iris", "mnist", "toy"]
    links["mnist"].click()
    baby.until(lambda: baby.texts("h1") == ["mnist"])
    assert links["mnist"].get_attribute("aria-current") == "page"
    assert baby.browser.title == "mnist · Predictions"
    baby.browser.back()
    baby.until(lambda: baby.texts("h1") == ["babyweight"])
    assert baby.labelled("Plurality, babies").get_attribute("value") == "2"


def test_the_version_and_the_time_of_the_export_are_shown(baby, jobs):
    version = locate(jobs["babyweight"]).rpartition("/")[2]
    assert baby.texts(".title .hint")[0].startswith(f"Version {version}, exported ")


@pytest.mark.parametrize("name", ["babyweight", "iris", "mnist", "toy"])
def test_a_page_fits_a_phone_names_its_inputs_and_asks_no_other_host(browser, url, name):
    view = View(browser, url, name, width=360)
    view.until(lambda: view.all(".changes:not([hidden])") if name in ("babyweight", "iris") else view.all(".answer"))
    if name == "mnist":
        view.draw((0.3, 0.3), (0.6, 0.7))
        view.until(lambda: view.numbers(".bars data"))
    if name == "toy":
        predict_now(view)
        view.until(lambda: output(view))
    for summary in view.all("summary"):
        summary.click()
    assert view.run("return document.documentElement.scrollWidth") <= 360
    for field in view.all(":is(input, select, textarea, button, canvas, [tabindex='0'])"):
        assert field.accessible_name.strip(), field.get_attribute("outerHTML")
    assert all(view.texts(":is(caption, legend, h1, h2, h3)"))
    entries = view.run("return performance.getEntries().filter((one) => one.responseEnd).map((one) => one.name)")
    assert len(entries) > 10
    assert [entry for entry in entries if not entry.startswith(url)] == []
    assert browser.get_log("browser") == []


def test_what_has_the_focus_is_outlined(baby):
    baby.run("document.querySelector('h1').focus()")
    for _ in range(4):
        ActionChains(baby.browser).send_keys(Keys.TAB).perform()
        style = baby.run(
            "const style = getComputedStyle(document.activeElement); return [style.outlineStyle, style.outlineWidth]"
        )
        assert style == ["solid", "3px"]


@pytest.mark.parametrize(("scheme", "background"), [(LIGHT, "rgb(246, 246, 243)"), (DARK, "rgb(18, 20, 23)")])
def test_the_colours_are_those_that_the_reader_prefers(browser, url, scheme, background):
    media = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
    try:
        view = View(browser, url, "toy")
        assert view.run("return getComputedStyle(document.documentElement).backgroundColor") == background
    finally:
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


def test_without_a_model_the_page_says_so_and_shows_the_first_one_that_comes(browser, files, described):
    browser.get("about:blank")
    browser.get(files)
    wait = WebDriverWait(browser, PATIENCE, poll_frequency=0.05)
    wait.until(lambda _: "No model is served yet." in browser.find_element(By.TAG_NAME, "main").text)
    described.append({"name": "late", "version": "3", "schema": None, "signatures": {}})
    try:
        wait.until(lambda _: [one.text for one in browser.find_elements(By.TAG_NAME, "h1")] == ["late"])
        assert not browser.find_element(By.TAG_NAME, "nav").is_displayed()
    finally:
        described.clear()


def test_a_server_that_refuses_the_charts_still_predicts(browser, jobs, predict):
    with serving(("babyweight", jobs["babyweight"]), limits=Limits(max_instances=5)) as url:
        view = View(browser, url, "babyweight")
        view.shows([pounds(predict)])
        view.until(lambda: view.texts("[role=alert] p"))
        assert "instances: expected at most 5" in view.texts("[role=alert] p")[0]
        assert view.one(".answer").get_attribute("data-state") == "shown"
        assert not view.one(".changes").is_displayed()


def test_a_server_with_a_token_is_asked_with_it_and_one_that_is_gone_is_named_without_losing_input(
    browser, jobs, predict
):
    with serving(("babyweight", jobs["babyweight"]), token=TOKEN) as url:
        browser.get("about:blank")
        browser.get(url)
        wait = WebDriverWait(browser, PATIENCE, poll_frequency=0.05)
        field = browser.find_element(By.ID, "token")
        wait.until(lambda _: field.is_displayed())
        assert field.accessible_name == "This server asks for a token"
        field.send_keys("wrong", Keys.ENTER)
        wait.until(lambda _: not field.is_displayed() or "expected the header" in browser.page_source)
        wait.until(lambda _: field.is_displayed())
        field.send_keys(Keys.CONTROL, "a")
        field.send_keys(TOKEN.decode(), Keys.ENTER)
        view = object.__new__(View)
        view.browser = browser
        view.shows([pounds(predict)])
        assert not field.is_displayed()
        assert TOKEN.decode() not in browser.execute_script(
            "return JSON.stringify([localStorage, sessionStorage]) + document.cookie + location"
        )
    assert not is_ready(url)
    view.put("Plurality, babies", 4)
    view.until(lambda: view.texts("[role=alert] p") == ["The server cannot be reached."])
    assert view.labelled("Plurality, babies").get_attribute("value") == "4"
    assert view.texts(".headline data")
    assert [button.text for button in view.all("[role=alert] button")] == ["Try again"]
