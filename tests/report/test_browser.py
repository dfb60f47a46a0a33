"""The report in a real browser: what it looks like, what it does, and what it never does."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from promptmill.report import writing
from promptmill.report.writing import write_report
from promptmill.rows import Row
from promptmill.run import RunFolder
from tests.report.runs import BEGAN, answered, failed, life, run_of, tell

HOSTILE = {
    "html": "<script>window.broken = 1</script><img src=x onerror='window.broken = 1'><b>bold</b>",
    "end of script": "</script><script>window.broken = 1</script></pre></article><!-- rest is gone",
    "comment": "<!-- <script> --!> &lt;i&gt; &amp;amp;",
    "markdown": "# Title\n\n**bold** [link](https://example.org/x) ![](https://example.org/i.png)\n```\nfence\n```",
    "template": "{{ 7 * 7 }} {% raw %} ${7 * 7}",
    "right to left": "مرحبا بالعالم then \u202egnorw si siht",
    "controls": "nul \x00 escape \x1b[31m red, \u2028 line, \u2029 paragraph, \ufeff mark, \ufffe none",
    "newlines": "\n\n  begins with two newlines\r\nand Windows ones\n\n",
    "long": "abcdefghij" * 100_000,
    "one word": "W" * 3_000,
}
DESKTOP = {"width": 1100, "height": 900}
MIDDLE = "at => { const box = at.getBoundingClientRect(); return [box.x + box.width / 2, box.y + box.height / 2]; }"
PHONE = {"width": 360, "height": 740}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """A run with a bit of everything: interruptions, errors, repeats, and some long answers."""
    texts = [
        f"Answer {at}: {' '.join(f'word{(at + 3) * step % 97}' for step in range(at % 60 + 5))}" for at in range(300)
    ]
    cut = [Row(0, f"cut off number {at} {'and so on ' * 40}", "length", 9, 120, 0, None) for at in range(40)]
    rows = [*answered(*texts, *["The capital of France is Paris."] * 12), *cut, failed("600 tokens are too many")]
    folder = tmp_path_factory.mktemp("report")
    made = run_of(folder, rows, whole=True)
    tell(made, "n1-1", [*life("n1", 0, 3000, rate=30, end="stopped"), *life("n1", 3600, 4000, rate=30, end="done")])
    tell(made, "n2-1", life("n2", 0, 5000, rate=20, end=None))
    write_report(made)
    return made


class Watched:
    """A page of which every request, message and error is noted."""

    def __init__(self, page: Page, file: Path) -> None:
        self.page = page
        self.file = file
        self.requests: list[str] = []
        self.complaints: list[str] = []
        page.on("request", lambda request: self.requests.append(request.url))
        page.on("console", lambda message: self.complaints.append(message.text))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.goto(file.as_uri())

    def require_quiet(self) -> None:
        """Nothing was asked for but the file itself, and nothing went wrong."""
        assert self.requests == [self.file.as_uri()]
        assert self.complaints == []


@pytest.fixture
def desktop(chromium: Browser, run: RunFolder) -> Iterator[Watched]:
    """The report in a window, in light."""
    context = chromium.new_context(viewport=DESKTOP, color_scheme="light")
    watched = Watched(context.new_page(), run.path / "report.html")
    yield watched
    watched.require_quiet()
    context.close()


@pytest.mark.parametrize(("name", "viewport", "scheme"), [
    ("light", DESKTOP, "light"), ("dark", DESKTOP, "dark"), ("phone", PHONE, "light"),
])  # fmt: skip
def test_it_shows_in_light_in_dark_and_on_a_phone(
    chromium: Browser, run: RunFolder, tmp_path: Path, name: str, viewport: dict[str, int], scheme: str
) -> None:
    """All charts are drawn in the scheme's colours, nothing is wider than the screen, and nothing is loaded."""
    context = chromium.new_context(viewport=viewport, color_scheme=scheme)  # type: ignore[arg-type]
    watched = Watched(context.new_page(), run.path / "report.html")
    page = watched.page
    for chart in ("responses", "prompts", "speed"):
        expect(page.locator(f"#chart-{chart} svg")).to_be_visible()
    expect(page.get_by_text("Worth a look")).to_be_visible()
    dark = page.evaluate("getComputedStyle(document.body).backgroundColor") != "rgb(255, 255, 255)"
    assert dark == (scheme == "dark")
    bar = page.locator("#chart-responses path[aria-roledescription=bar]").first
    shown = bar.evaluate("bar => getComputedStyle(bar).fill")
    assert shown == {"light": "rgb(42, 103, 201)", "dark": "rgb(116, 167, 247)"}[scheme]
    assert page.evaluate("document.documentElement.scrollWidth") <= viewport["width"]
    picture = tmp_path / f"{name}.png"
    page.screenshot(path=picture, full_page=True)
    assert picture.stat().st_size > 50_000
    watched.require_quiet()
    context.close()


def test_samples_are_paged_and_searched(desktop: Watched) -> None:
    """Five at a time; a search looks at prompts and responses of all twenty."""
    page = desktop.page
    shown = page.locator("#rows > .row:visible")
    where = page.locator("#where")
    expect(shown).to_have_count(5)
    expect(where).to_have_text("1 to 5 of 20")
    expect(page.get_by_role("button", name="Back")).to_be_disabled()
    first = shown.first.inner_text()
    page.get_by_role("button", name="Next").click()
    expect(where).to_have_text("6 to 10 of 20")
    assert shown.first.inner_text() != first
    for _ in range(2):
        page.get_by_role("button", name="Next").click()
    expect(page.get_by_role("button", name="Next")).to_be_disabled()
    page.get_by_role("button", name="Back").click()
    expect(where).to_have_text("11 to 15 of 20")
    search = page.get_by_role("searchbox")
    number = page.locator("#rows > .row").nth(17).locator("pre").first.text_content()
    assert number is not None
    search.fill(number.upper())
    expect(where).to_have_text("1 to 1 of 1")
    expect(shown).to_have_count(1)
    assert page.evaluate("CSS.highlights.get('search').size") == 1
    search.fill("no row has this")
    expect(shown).to_have_count(0)
    expect(page.get_by_text("No sample has that.")).to_be_visible()
    search.fill("")
    expect(where).to_have_text("1 to 5 of 20")


def test_a_bar_tells_its_numbers(desktop: Watched) -> None:
    """The tooltip of a chart, with how the rows ended."""
    page = desktop.page
    page.locator("#chart-responses path[aria-roledescription=bar]").first.hover()
    tooltip = page.locator("#vg-tooltip-element.visible")
    expect(tooltip).to_contain_text("ended by itself")
    expect(tooltip).to_contain_text("rows")


def test_interruptions_are_marked_in_the_chart_of_the_speed(desktop: Watched) -> None:
    """With why, and when the run went on."""
    page = desktop.page
    rules = page.locator("#chart-speed g.mark-rule.role-mark line")
    expect(rules).to_have_count(6)  # each with one around it that a pointer meets
    # A line without width is nothing that the driver would hover over by itself.
    page.locator("#chart-speed").scroll_into_view_if_needed()
    page.mouse.move(*rules.nth(3).evaluate(MIDDLE))
    expect(page.locator("#vg-tooltip-element.visible")).to_contain_text("1 × told to stop")
    table = page.locator("table", has_text="Interruptions")
    expect(table).to_contain_text("killed")
    expect(page.locator("table", has_text="tokens/s a process")).to_contain_text("n2")


def test_a_long_text_opens_on_request(desktop: Watched) -> None:
    """Until then it is cut by its height."""
    page = desktop.page
    page.set_viewport_size(PHONE)
    page.reload()
    desktop.requests.clear()
    desktop.requests.append(desktop.file.as_uri())
    page.get_by_role("searchbox").fill("cut off number")
    text = page.locator("#rows > .row:visible pre.response").first
    before = text.bounding_box()
    page.get_by_role("button", name="Show all").first.click()
    after = text.bounding_box()
    assert before is not None
    assert after is not None
    assert after["height"] > before["height"]


@pytest.fixture
def hostile(chromium: Browser, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Watched]:
    """A report on responses, errors and names that try to be something else."""
    monkeypatch.setattr(writing, "SAMPLES", 100)
    rows = [*answered(*HOSTILE.values(), *HOSTILE.values()), *(failed(text) for text in HOSTILE.values())]
    run = run_of(tmp_path, rows)
    tell(run, "a-1", life(HOSTILE["html"], 0, 2000, rate=10, end=None))
    tell(run, "b-1", life(HOSTILE["end of script"], 100, 2000, rate=10, end="done"))
    write_report(run)
    context = chromium.new_context(viewport=PHONE)
    watched = Watched(context.new_page(), run.path / "report.html")
    expect(watched.page.locator("#chart-speed svg")).to_be_visible()
    yield watched
    context.close()


def test_hostile_texts_show_as_text(hostile: Watched) -> None:
    """Every one in full up to the cut, none acts, and the page around them stands."""
    page = hostile.page
    found = page.locator("#rows pre.response").all_text_contents()
    count = len(HOSTILE)
    assert len(found) == 2 * count
    shown = dict(zip(HOSTILE, found, strict=False))
    for name in ("html", "end of script", "comment", "markdown", "template"):
        assert shown[name] == HOSTILE[name]
    assert shown["right to left"] == "مرحبا بالعالم then ⟨U+202E⟩gnorw si siht"
    assert shown["controls"].startswith("nul ␀ escape ␛[31m red, ⏎ line, ¶ paragraph,")
    assert shown["newlines"] == "\n\n  begins with two newlines\nand Windows ones\n\n"
    assert shown["long"].startswith("abcdefghij" * 1000 + " … (990,000 more characters)")
    assert page.evaluate("window.broken") is None
    assert page.locator("main img, main b, main a, main i, #rows script").count() == 0
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    assert hostile.file.stat().st_size < 5_000_000
    hostile.require_quiet()


def test_the_policy_stops_what_should_get_through(hostile: Watched) -> None:
    """A script or a picture that was put into the page after all runs and loads nothing."""
    pixel = base64.b64encode(b"x").decode()
    hostile.page.evaluate(
        """pixel => {
            const script = document.createElement("script");
            script.textContent = "window.broken = 1";
            document.body.append(script);
            const image = new Image();
            image.src = `https://example.org/${pixel}`;
            document.body.append(image);
        }""",
        pixel,
    )
    expect(hostile.page.locator("main")).to_be_visible()
    assert hostile.page.evaluate("window.broken") is None
    assert len([text for text in hostile.complaints if "Content Security Policy" in text]) == 2


def test_it_prints(desktop: Watched, tmp_path: Path) -> None:
    """On paper there is nothing to click, and it is light."""
    page = desktop.page
    page.emulate_media(media="print", color_scheme="dark")
    expect(page.get_by_role("searchbox")).to_be_hidden()
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    paper = tmp_path / "report.pdf"
    page.pdf(path=paper, format="A4")
    assert paper.read_bytes().startswith(b"%PDF")


def test_the_run_began_when_it_says(desktop: Watched) -> None:
    """Times are UTC wherever the reader is."""
    assert BEGAN == 1_790_000_000
    expect(desktop.page.get_by_text("From 2026-09-21 14:13 UTC")).to_be_visible()
