"""Reports: they say what the logs say, whatever state the logs are in, and nothing in a log can break the page."""

import json
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from reactnet.errors import ReactnetError
from reactnet.report import make_page, read_runs
from reactnet.report.alerts import DEAD, STUCK, find_alerts, percent
from reactnet.report.charts import log_ticks, ticks_of
from reactnet.report.metrics import LEVELS, METRICS, series
from report.made_up import histograms, line, recipe, vitals, write_run

VOID = {"meta", "input", "br", "link", "img"}


class Page(HTMLParser):
    """Reads a page strictly: every element must be closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.words: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] not in ("script", "style"):
            self.words.append(data)

    @property
    def text(self) -> str:
        return "".join(self.words)


def page_of(*folders: Path) -> str:
    return make_page(read_runs(folders))


def alerts_of(folder: Path) -> list[str]:
    (run,) = read_runs([folder])
    return [f"{alert.where}: {alert.text}" for alert in find_alerts(run)]


def student(**changes: Any) -> list[dict[str, Any]]:
    """The vitals of a phase of three epochs, the last two with these values."""
    return [vitals("student", epoch, **(changes if epoch else {})) for epoch in range(3)]


def test_a_page_has_every_part_and_is_well_formed(tmp_path: Path) -> None:
    page = Page(page_of(write_run(tmp_path / "a", shares=histograms("layer4.conv2"))))
    links = {value[1:] for name, value in page.attributes if name == "href"}
    assert links == {"runs", "alerts", "curves", "vitals", "histograms", "last", "hand-overs", "recipes"}
    assert links <= {value for name, value in page.attributes if name == "id"}
    for words in ("60.00 %", "Sign flips", "layer4.conv2", "End of student", "finished", "8 s"):
        assert words in page.text
    assert page.tags.count("path") > 30


def test_a_page_asks_for_nothing_from_outside(tmp_path: Path) -> None:
    text = page_of(write_run(tmp_path / "a"), write_run(tmp_path / "b"))
    assert not re.search(r"https?:|//[a-z]|@import|url\(", text.replace("/* ", "").replace("// The page", ""))
    page = Page(text)
    assert not {"img", "iframe", "link", "object"} & set(page.tags)
    assert not {"src", "srcset", "action"} & {name for name, _ in page.attributes}
    assert any("default-src 'none'" in value for name, value in page.attributes if name == "content")


HOSTILE = '</script><script>alert(1)</script><img src=x onerror="alert(2)">&amp;\'"<!--'


def test_hostile_names_stay_text(tmp_path: Path) -> None:
    name = HOSTILE.replace("/", "|")
    text = recipe(phases={HOSTILE: ([HOSTILE], 2)}, evaluate_on="test").replace("digits", "<b>digits")
    info = {"commit": HOSTILE, "device": HOSTILE, "hand_over": {HOSTILE: {"carried": [HOSTILE], "restarted": []}}}
    folder = write_run(
        tmp_path / name,
        [line(HOSTILE, 0), line(HOSTILE, 1)],
        [vitals(HOSTILE, 0, layer=HOSTILE), vitals(HOSTILE, 1, layer=HOSTILE, flips=0.0, dead=60)],
        text=text,
        info=info,
    )
    other = write_run(tmp_path / "plain", shares=histograms(HOSTILE))
    harmless = Page(page_of(write_run(tmp_path / "x"), write_run(tmp_path / "y", shares=histograms("c"))))
    page = Page(page_of(folder, other))
    assert set(page.tags) <= set(harmless.tags) | {"li", "ul", "b", "bdi"}
    assert page.tags.count("script") == 2
    assert not {key for key, _ in page.attributes if key.startswith("on")}
    assert f"{HOSTILE}.sign" in page.text
    assert name in page.text
    assert HOSTILE in {value for key, value in page.attributes if key == "data-line"}


def test_one_epoch_is_a_page_with_points(tmp_path: Path) -> None:
    text = page_of(write_run(tmp_path / "a", [line("teacher", 0)], [vitals("teacher", 0)], info={}))
    assert "epoch 1 of 5: going on, or stopped" in Page(text).text
    assert text.count("<circle") >= 5


def test_a_torn_last_line_is_left_out_and_said_aloud(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "a")
    log = folder / "log.jsonl"
    log.write_bytes(log.read_bytes()[:-30])
    (run,) = read_runs([folder])
    assert list(run.lines) == [0, 1, 2, 3]
    assert "log.jsonl: the last line is not whole" in Page(make_page([run])).text


@pytest.mark.parametrize(
    "bad",
    [
        b"{}",
        b"[1]",
        b"null",
        b"\xff\xfe",
        b'{"phase": "who", "epoch": 0}',
        b'{"phase": "teacher", "epoch": 9}',
        b'{"phase": "teacher", "epoch": -1}',
        b'{"phase": "teacher", "epoch": true}',
        b"[" * 100_000,
        b"",
    ],
)
def test_a_line_that_is_no_record_is_left_out_and_counted(tmp_path: Path, bad: bytes) -> None:
    folder = write_run(tmp_path / "a")
    log = folder / "log.jsonl"
    log.write_bytes(bad + b"\n" + log.read_bytes())
    (run,) = read_runs([folder])
    assert len(run.lines) == 5
    assert run.notes == ("log.jsonl: 1 lines are left out: no record of an epoch of this recipe",)


@pytest.mark.parametrize("value", ["NaN", "Infinity", '"high"', "null", "[1]", "true", "1e999", "1" + "0" * 400])
@pytest.mark.parametrize("key", ["loss", "test_top1", "learning_rate", "time"])
def test_a_value_that_is_no_number_is_no_point(tmp_path: Path, key: str, value: str) -> None:
    folder = write_run(tmp_path / "a")
    log = folder / "log.jsonl"
    lines = log.read_text().splitlines()
    lines[1] = re.sub(rf'"{key}": [^,}}]+', f'"{key}": {value}', lines[1])
    log.write_text("\n".join(lines) + "\n")
    (run,) = read_runs([folder])
    assert run.value(1, "top1" if key == "test_top1" else key) is None
    Page(make_page([run]))


@pytest.mark.parametrize("group", ["weights", "signs", "rprelus"])
@pytest.mark.parametrize("entry", [None, [], "x", {}, {"layer": None}, {"layer": {"binary": True, "drift": [1]}}])
def test_vitals_of_another_shape_are_left_out(tmp_path: Path, group: str, entry: object) -> None:
    seen = [vitals("student", 0), {**vitals("student", 1), group: entry}]
    Page(page_of(write_run(tmp_path / "a", seen=seen)))


@pytest.mark.parametrize(
    "shares", [{"signs": 3}, {"signs": {"a": {"range": [1, 0]}}}, {"rprelus": {"a": {}}}, {"x": 1}]
)
def test_histograms_of_another_shape_are_left_out(tmp_path: Path, shares: dict[str, Any]) -> None:
    assert "None here" in Page(page_of(write_run(tmp_path / "a", shares=shares))).text


def test_a_run_without_vitals_says_so(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "a")
    (folder / "vitals.jsonl").unlink()
    (folder / "run.json").unlink()
    assert "trained before they were measured" in Page(page_of(folder)).text


def test_runs_of_one_name_are_told_apart(tmp_path: Path) -> None:
    folders = [write_run(tmp_path / part / "digits") for part in ("mon", "tue")]
    assert [run.name for run in read_runs(folders)] == ["mon/digits", "tue/digits"]


def test_many_runs_keep_their_own_lines(tmp_path: Path) -> None:
    folders = [write_run(tmp_path / f"run{index}", text=recipe(seed=index)) for index in range(11)]
    text = page_of(*folders)
    styles = set(re.findall(r'class="line (run\d dash\d)" data-line', text))
    assert len(styles) == 11
    assert len(re.findall(r'type="checkbox"', text)) == 11


def test_differences_between_recipes_are_shown_and_only_those(tmp_path: Path) -> None:
    other = write_run(tmp_path / "b", text=recipe(seed=7).replace("epochs = 3", "epochs = 4"))
    text = Page(page_of(write_run(tmp_path / "a"), other)).text
    recipes = text[text.rindex("Recipes") :]
    assert "phases.student.epochs34" in recipes
    assert "seed07" in recipes
    assert "phases.teacher.epochs" not in recipes


def test_a_folder_that_is_no_run_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ReactnetError, match=re.escape(f"{tmp_path}: no run folder")):
        read_runs([tmp_path])
    with pytest.raises(ReactnetError, match="no run folder"):
        read_runs([tmp_path / "missing"])
    with pytest.raises(ReactnetError, match="given twice"):
        read_runs([write_run(tmp_path / "a"), tmp_path / "." / "a"])
    with pytest.raises(ReactnetError, match="no epoch is finished yet"):
        read_runs([write_run(tmp_path / "b", [], [])])
    with pytest.raises(ReactnetError, match="no run given"):
        read_runs([])


def test_a_run_that_has_not_begun_stands_beside_one_that_has(tmp_path: Path) -> None:
    text = Page(page_of(write_run(tmp_path / "a"), write_run(tmp_path / "b", [], [], info={}))).text
    assert "no epoch finished yet" in text


def test_a_stuck_layer_is_told_in_words_while_the_learning_rate_is_high(tmp_path: Path) -> None:
    quiet = STUCK / 2
    told = alerts_of(write_run(tmp_path / "a", seen=student(flips=quiet)))
    assert told == [
        "layer4.conv2: 0.01 % flips, stuck (phase student, epoch 3, while the learning rate was still high)"
    ]
    assert alerts_of(write_run(tmp_path / "b", seen=student(flips=2 * STUCK))) == []
    resting = [line("student", epoch, learning_rate=[1.0, 0.05, 0.01][epoch]) for epoch in range(3)]
    assert alerts_of(write_run(tmp_path / "c", resting, student(flips=0.0))) == []
    assert alerts_of(write_run(tmp_path / "d", seen=student(flips=0.0, binary=False))) == []


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"dead": 37}, "layer4.conv2.sign: 37 of 64 channels dead"),
        ({"plus": 0.99}, "layer4.conv2.sign: 99.0 % of the activations are +1: nearly constant"),
        ({"plus": 0.004}, "layer4.conv2.sign: 0.4 % of the activations are +1: nearly constant"),
        ({"window": 0.06}, "layer4.conv2.sign: the gradient passes in 6 % of its places"),
        ({"outside": 0.6}, "layer4.conv2: 60.0 % of the latent weights are beyond the gradient's window"),
        ({"drift": [1.5, 9.0]}, "layer4.conv2.sign: shift drift: its thresholds moved by 1.5 on average"),
        ({"flips": 0.2}, "layer4.conv2: 20.0 % flips in the last epoch of student: its signs have not settled"),
    ],
)
def test_each_fault_has_its_words(tmp_path: Path, changes: dict[str, Any], words: str) -> None:
    (told,) = alerts_of(write_run(tmp_path / "a", seen=student(**changes)))
    assert told.startswith(words)


def test_a_healthy_run_has_no_alert(tmp_path: Path) -> None:
    assert alerts_of(write_run(tmp_path / "a")) == []
    assert alerts_of(write_run(tmp_path / "b", seen=student(dead=int(64 * DEAD) - 1))) == []


def test_top1_that_fell_is_an_alert(tmp_path: Path) -> None:
    lines = [line("student", epoch, test_top1=top1) for epoch, top1 in enumerate([0.5, 0.9, 0.8])]
    (told,) = alerts_of(write_run(tmp_path / "a", lines, []))
    assert told == "student: top-1 is 10.0 points below this phase's best (90.0 %, epoch 2)"


def test_many_layers_with_one_fault_are_counted(tmp_path: Path) -> None:
    record = vitals("student", 2)
    record["signs"] = {f"layer{i}": {**record["signs"]["layer4.conv2.sign"], "dead": 64} for i in range(50)}
    told = alerts_of(write_run(tmp_path / "a", seen=[record]))
    assert len(told) == 7
    assert told[-1] == "44 more layers: have dead channels likewise"


def test_metrics_begin_where_a_layer_is_binary(tmp_path: Path) -> None:
    (run,) = read_runs([write_run(tmp_path / "a")])
    found = {metric.key: series(run, metric) for metric in METRICS}
    assert list(found["flips"]["layer4.conv2"]) == [2, 3, 4]
    assert list(found["median"]["layer4.conv2"]) == [0, 1, 2, 3, 4]
    assert found["rprelu"]["layer4.conv2.act"][0] == 0.2
    assert found["drift"]["layer4.conv2.sign"][0] == 0.1


def test_levels_grow_with_the_value() -> None:
    values = [0.0, 1e-6, 1e-5, 1e-3, 0.1, 0.3, 0.5, 0.9, 1.0, 5.0]
    for metric in METRICS:
        levels = [metric.level(value, 1.0) for value in values]
        assert levels == sorted(levels)
        assert (levels[0], levels[-1]) == (0, LEVELS - 1)
    dead = next(metric for metric in METRICS if metric.key == "dead")
    assert dead.level(1 / 1024, 1.0) == 1


@pytest.mark.parametrize(
    ("low", "high"), [(0, 0), (5, 5), (-5, -5), (0, 1e-9), (0.1, 0.9), (-3, 7), (1e6, 3e9), (0.98, 0.99)]
)
@pytest.mark.parametrize("zero", [True, False])
def test_ticks_enclose_the_values_and_are_few(low: float, high: float, zero: bool) -> None:
    ticks = ticks_of(low, high, zero)
    assert 2 <= len(ticks) <= 8
    assert ticks == sorted(ticks)
    assert ticks[0] <= low + 1e-9 * abs(low)
    assert ticks[-1] >= high - 1e-9 * abs(high)
    assert not zero or ticks[0] <= 0 <= ticks[-1] + 1e-12


@pytest.mark.parametrize(("low", "high"), [(1e-7, 1.0), (0.01, 0.5), (1e-12, 1e12), (1, 100)])
def test_log_ticks_enclose_the_values_and_are_few(low: float, high: float) -> None:
    ticks = log_ticks(low, high)
    assert 2 <= len(ticks) <= 8
    assert ticks[0] <= low
    assert ticks[-1] >= high


@pytest.mark.parametrize(
    ("share", "words"),
    [(0, "0 %"), (1, "100 %"), (0.5, "50.0 %"), (0.0002, "0.02 %"), (0.0199, "2 %"), (1e-9, "under 0.0001 %")],
)
def test_small_shares_are_told_from_zero(share: float, words: str) -> None:
    assert percent(share) == words


def test_long_runs_make_small_pages(tmp_path: Path) -> None:
    phases = {"student": (["activations", "weights"], 600)}
    seen = [vitals("student", epoch, flips=0.1 / (epoch + 1)) for epoch in range(600)]
    for record in seen:
        for kind in ("weights", "signs", "rprelus"):
            (entry,) = record[kind].values()
            record[kind] = {f"layer{index}.{kind}": entry for index in range(40)}
    folder = write_run(
        tmp_path / "a", [line("student", epoch) for epoch in range(600)], seen, text=recipe(phases=phases)
    )
    assert len(page_of(folder)) < 8e6


def test_a_report_loads_no_torch(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "a")
    code = (
        "import sys; from pathlib import Path; from reactnet.report import make_page, read_runs\n"
        f"make_page(read_runs([Path({str(folder)!r})])); print(sorted({{'torch', 'rich'}} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_embedded_data_is_json_and_cannot_end_its_element(tmp_path: Path) -> None:
    text = page_of(write_run(tmp_path / "a", seen=[vitals("student", 2, layer=HOSTILE)]))
    (packed,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', text)
    assert "<" not in packed
    charts = json.loads(packed)
    assert {one["name"] for chart in charts.values() for one in chart["lines"]} >= {"a", HOSTILE}
