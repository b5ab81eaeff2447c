"""The page in a real browser: nothing goes wrong, what should be seen is seen, on a desk and on a phone."""

from collections.abc import Iterator

import pytest

from browser import INSTALL, Browser, installed, open_browser
from reactnet.report import make_page, read_runs
from report.made_up import histograms, recipe, write_run

DESK, PHONE = (1400, 2000), (360, 740)


@pytest.fixture(scope="module")
def window(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    if not installed():
        pytest.skip(f"no Chromium with its driver here ({INSTALL})")
    folder = tmp_path_factory.mktemp("browser")
    runs = [
        write_run(folder / "first", shares=histograms("layer4.conv2")),
        write_run(folder / "<b>second", text=recipe(seed=1), shares=histograms("layer4.conv2")),
    ]
    (folder / "report.html").write_text(make_page(read_runs(runs)))
    with open_browser(folder) as opened:
        resize(opened, DESK)
        opened.visit((folder / "report.html").as_uri())
        yield opened


def resize(window: Browser, size: tuple[int, int]) -> None:
    width, height = size
    window.devtools(
        "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 500
    )


def test_the_console_is_silent_and_nothing_is_fetched(window: Browser) -> None:
    assert window.errors() == []
    assert window.run("return performance.getEntriesByType('resource').length") == 0


def test_plots_are_drawn_with_a_size_and_a_colour(window: Browser) -> None:
    lines = window.run(
        "return [...document.querySelectorAll('#curves .card path.line')].map(line => {"
        "const box = line.getBoundingClientRect();"
        "return [box.width, box.height, getComputedStyle(line).stroke]})"
    )
    assert len(lines) == 10
    assert all(width > 100 for width, _, _ in lines)
    assert len({stroke for _, _, stroke in lines}) == 2
    cells = window.run(
        "return [...document.querySelectorAll('td .strip path:not(.cut)')].map(cell => getComputedStyle(cell).fill)"
    )
    assert len(cells) >= 14
    assert "rgb(0, 0, 0)" not in cells
    areas = window.run("return document.querySelectorAll('#histograms figure path').length")
    assert areas >= 10


def test_the_pointer_shows_the_values_of_its_epoch(window: Browser) -> None:
    resize(window, DESK)
    box = window.run(
        "const svg = document.querySelector('#curves svg[data-chart]'); svg.scrollIntoView({behavior: 'instant'});"
        "const box = svg.getBoundingClientRect(); return [box.left, box.top, box.width, box.height]"
    )
    left, top, width, height = box
    point(window, left + width * 0.98, top + height / 2)
    said = window.run("return [...document.querySelectorAll('#tip span')].map(part => part.textContent)")
    assert said == ["epoch 5", "", "first", "60.0 %", "<b>second", "60.0 %"]
    assert window.run("return document.getElementById('tip').hidden") is False
    point(window, 0, 0)
    assert window.run("return document.getElementById('tip').hidden") is True


def test_a_run_can_be_hidden(window: Browser) -> None:
    count = (
        "return [...document.querySelectorAll('#curves .card path.line')]"
        ".filter(line => getComputedStyle(line).display !== 'none').length"
    )
    assert window.run(count) == 10
    window.run("document.querySelectorAll('input[data-run]')[1].click()")
    assert window.run(count) == 5
    window.run("document.querySelectorAll('input[data-run]')[1].click()")
    assert window.run(count) == 10


@pytest.mark.parametrize("size", [DESK, PHONE], ids=["desk", "phone"])
def test_nothing_hangs_out_of_the_window(window: Browser, size: tuple[int, int]) -> None:
    resize(window, size)
    assert window.run("return document.documentElement.scrollWidth") <= size[0]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_from_its_page(window: Browser, scheme: str) -> None:
    resize(window, DESK)
    window.devtools("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
    colours = window.run(
        "const body = getComputedStyle(document.body), soft = getComputedStyle(document.querySelector('.card p'));"
        "const card = getComputedStyle(document.querySelector('.card'));"
        "return [body.color, body.backgroundColor, soft.color, card.backgroundColor]"
    )
    ink, page, soft, card = (luminance(colour) for colour in colours)
    assert (page > ink) == (scheme == "light")
    assert contrast(ink, page) >= 7  # WCAG AAA
    assert contrast(soft, card) >= 4.5  # WCAG AA


def point(window: Browser, x: float, y: float) -> None:
    window.devtools("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)


def luminance(colour: str) -> float:
    channels = [int(part) / 255 for part in colour.removeprefix("rgb(").removesuffix(")").split(",")]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: float, other: float) -> float:
    return (max(one, other) + 0.05) / (min(one, other) + 0.05)
