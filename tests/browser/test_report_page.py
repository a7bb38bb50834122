"""A report in a real browser, from a file, with the network off."""

from __future__ import annotations

import csv
import io
import json
import time
import zlib

import numpy as np
import pytest

VISIBLE = (
    "return [...document.querySelectorAll('#table tbody tr')].map(r => r.cells[{}].textContent)"
)


def picture(data):
    from matplotlib.image import imread

    return imread(io.BytesIO(data), format="png")[:, :, :3]


def column(chromium, name):
    heads = "[...document.querySelectorAll('#table th')]"
    place = chromium.run(f"return {heads}.findIndex(h => h.dataset.name === arguments[0])", name)
    return chromium.run(VISIBLE.format(place))


def type_filter(chromium, text):
    chromium.run(
        "const f = document.getElementById('filter'); f.value = arguments[0];"
        "f.dispatchEvent(new Event('input'))",
        text,
    )


def click_head(chromium, name):
    chromium.run(
        "document.querySelector(`#table th[data-name=${arguments[0]}] button`).click()", name
    )


def sorted_as(chromium, name):
    return chromium.run(
        "return document.querySelector(`#table th[data-name=${arguments[0]}]`).ariaSort", name
    )


@pytest.mark.parametrize("mode", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 400])
def test_it_opens_offline_without_a_complaint_or_a_request(chromium, page, width, mode):
    chromium.open(page, width=width, mode=mode)

    assert chromium.complaints() == []
    assert chromium.requests() == [page.as_uri()]
    assert chromium.run("return document.querySelectorAll('figure svg[role=img]').length") > 20


@pytest.mark.parametrize("width", [1280, 800, 400])
def test_it_never_scrolls_sideways(chromium, page, width):
    chromium.open(page, width=width)

    assert chromium.run("return document.documentElement.scrollWidth") <= width


SMALLEST_TEXT = """
return Math.min(...[...document.querySelectorAll('.drawing > svg')].flatMap((svg) => {
  const scale = svg.getBoundingClientRect().width / svg.viewBox.baseVal.width;
  const texts = [...svg.querySelectorAll('text')];
  return texts.map((one) => parseFloat(getComputedStyle(one).fontSize) * scale);
}))
"""


def test_no_text_of_a_drawing_is_too_small_to_read_on_a_phone(chromium, page):
    chromium.open(page, width=400)

    assert chromium.run(SMALLEST_TEXT) >= 8.99


@pytest.mark.parametrize(("width", "a_row"), [(1280, 3), (400, 1)])
def test_panels_stand_side_by_side_where_there_is_room_and_else_below_each_other(
    chromium, page, width, a_row
):
    chromium.open(page, width=width)
    tops = chromium.run(
        "return [...document.querySelectorAll('#f-latency .panel')].map(p => p.offsetTop)"
    )

    assert tops.count(tops[0]) == a_row


def test_what_is_wider_than_the_screen_says_so_and_nothing_else_does(chromium, page):
    chromium.open(page, width=400)
    chromium.run("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
    # The observer runs after a frame is laid out, and what it finds is shown in the next.
    chromium.driver.execute_async_script(
        "const [done] = arguments;"
        "const wait = (frames) => frames ? requestAnimationFrame(() => wait(frames - 1)) : done();"
        "wait(5)"
    )
    found = chromium.run(
        "return [...document.querySelectorAll('.drawing, .scroll')].map((box) =>"
        " [box.scrollWidth > box.clientWidth + 1,"
        "  getComputedStyle(box, '::before').content.includes('scroll sideways')])"
    )

    assert {tuple(one) for one in found} == {(True, True), (False, False)}


def test_light_and_dark_differ_and_neither_is_blank(chromium, page):
    shots = {}
    for mode in ("light", "dark"):
        chromium.open(page, mode=mode)
        shots[mode] = picture(chromium.screenshot())

    assert shots["light"].mean() > 0.8
    assert shots["dark"].mean() < 0.3
    for shot in shots.values():
        assert shot.std() > 0.03
        assert len(np.unique((shot * 255).astype(np.uint8).reshape(-1, 3), axis=0)) > 50


def test_it_prints_light_and_not_blank_even_from_a_dark_screen(chromium, page):
    chromium.open(page, mode="dark")

    pdf = chromium.pdf()

    assert pdf.startswith(b"%PDF")
    pages = pdf.count(b"/Type /Page\n") or pdf.count(b"/Type/Page")
    assert pages >= 5
    assert drawn_bytes(pdf) > 100_000


def drawn_bytes(pdf):
    """How much drawing the streams of a PDF hold."""
    total = 0
    for part in pdf.split(b"stream\r\n")[1:] or pdf.split(b"stream\n")[1:]:
        try:
            total += len(zlib.decompress(part.partition(b"endstream")[0]))
        except zlib.error:
            continue
    return total


def test_a_heading_sorts_by_number_both_ways_and_back(chromium, page):
    chromium.open(page)
    before = column(chromium, "problem")

    click_head(chromium, "latency_us")
    rising = [float(text) for text in column(chromium, "latency_us") if text]
    assert rising == sorted(rising)
    assert column(chromium, "latency_us")[-1] == ""
    assert sorted_as(chromium, "latency_us") == "ascending"
    click_head(chromium, "latency_us")
    falling = [float(text) for text in column(chromium, "latency_us") if text]
    assert falling == sorted(falling, reverse=True)
    assert column(chromium, "latency_us")[-1] == ""
    assert sorted_as(chromium, "latency_us") == "descending"
    click_head(chromium, "latency_us")
    assert column(chromium, "problem") == before
    assert sorted_as(chromium, "latency_us") == "none"


def test_sorting_works_from_the_keyboard(chromium, page):
    from selenium.webdriver.common.keys import Keys

    chromium.open(page)
    chromium.run("document.querySelector('#table th[data-name=backend] button').focus()")
    chromium.driver.switch_to.active_element.send_keys(Keys.ENTER)

    assert sorted_as(chromium, "backend") == "ascending"
    backends = column(chromium, "backend")
    assert backends == sorted(backends)


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("naive", lambda row: row["backend"] == "naive"),
        ("backend!=naive", lambda row: row["backend"] != "naive"),
        ("kv_len>=4k batch=1,8", lambda row: row["kv_len"] in ("4k", "8k", "16k")),
        (
            "status=failed or backend=sdpa",
            lambda row: "failed" in row["status"] or row["backend"] == "sdpa",
        ),
        ("not (backend=sdpa or backend=naive)", lambda row: row["backend"] == "triton_flash"),
        ("prefill kv_heads<8", lambda row: row["problem"].startswith("prefill")),
    ],
)
def test_the_filter_selects_what_the_command_line_would(chromium, page, text, holds):
    chromium.open(page)
    names = ("problem", "backend", "status", "kv_len")
    total = len(column(chromium, "problem"))

    type_filter(chromium, text)

    rows = [
        dict(zip(names, line, strict=True))
        for line in zip(*(column(chromium, name) for name in names), strict=True)
    ]
    assert 0 < len(rows) < total
    assert all(map(holds, rows))
    assert chromium.run("return document.getElementById('shown').textContent").startswith(
        f"{len(rows)} of {total}"
    )


@pytest.mark.parametrize("text", ["(sdpa", "nosuch=3", "kv_len>=many", "kv_len>=", ")"])
def test_a_filter_that_cannot_be_read_says_so_and_keeps_the_rows(chromium, page, text):
    chromium.open(page)
    total = len(column(chromium, "problem"))

    type_filter(chromium, text)

    assert len(column(chromium, "problem")) == total
    assert chromium.run("return document.getElementById('shown').className") == "wrong"
    assert chromium.complaints() == []


def test_filter_and_order_are_in_the_address_and_come_back(chromium, page):
    chromium.open(page)
    type_filter(chromium, "backend=sdpa kv_len>=4k")
    click_head(chromium, "latency_us")
    click_head(chromium, "latency_us")
    fragment, rows = chromium.run("return location.hash"), column(chromium, "problem")

    chromium.open(page, fragment=fragment)

    assert "q=" in fragment
    assert column(chromium, "problem") == rows
    assert sorted_as(chromium, "latency_us") == "descending"


def test_minor_columns_are_shown_on_demand(chromium, page):
    shown = (
        "return getComputedStyle(document.querySelector('#table th[data-name=q_heads]')).display"
    )
    chromium.open(page)
    assert chromium.run(shown) == "none"

    chromium.run("document.getElementById('every-column').click()")

    assert chromium.run(shown) != "none"


def test_the_table_is_downloaded_as_it_is_filtered(chromium, page):
    chromium.open(page)
    type_filter(chromium, "backend=sdpa")
    wanted = len(column(chromium, "problem"))

    chromium.run("document.getElementById('download').click()")

    file = chromium.downloads / "cases.csv"
    deadline = time.monotonic() + 20
    while not file.exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    rows = list(csv.DictReader(io.StringIO(file.read_text(encoding="utf-8"))))
    assert len(rows) == wanted
    assert {row["backend"] for row in rows} == {"sdpa"}
    assert float(rows[0]["latency_us"]) > 0


def test_hostile_names_run_nothing(chromium, reports, tmp_path):
    names = [
        "\"><script>window.hit=1</script><img src=x onerror='window.hit=2'>",
        "</script><script>window.hit=3</script>",
        "<svg onload=window.hit=4>",
        "=HYPERLINK(1)",
    ]
    rows = []
    for name in names:
        for problem in (reports.decode(), reports.decode(kv_len=8192)):
            rows += reports.ok_rows(problem, name)
        rows.append(reports.other_row(reports.prefill(), name, "failed", name))
    maker = reports.Maker(tmp_path)
    maker.html(rows, title=names[0])
    chromium.open(tmp_path / "report.html")
    type_filter(chromium, "status=ok")
    click_head(chromium, "backend")

    assert chromium.run("return window.hit === undefined")
    assert chromium.complaints() == []
    assert len(chromium.requests()) == 1
    assert set(column(chromium, "backend")) == set(names)


def test_thousands_of_cases_begin_with_five_hundred_and_all_can_be_found(
    chromium, reports, tmp_path
):
    rows = [
        reports.other_row(reports.decode(1 + n // 20, 64 * (1 + n % 20)), "sdpa", "skipped", "no")
        for n in range(2100)
    ]
    reports.Maker(tmp_path).html(rows)
    chromium.open(tmp_path / "report.html")
    assert len(column(chromium, "problem")) == 500

    type_filter(chromium, "batch=105")
    assert len(column(chromium, "problem")) == 20
    type_filter(chromium, "")
    chromium.run("document.getElementById('show-all').click()")
    assert len(column(chromium, "problem")) == 2100
    assert chromium.complaints() == []


def test_a_case_s_command_is_copied_by_its_button(chromium, page):
    chromium.open(page)
    chromium.run("navigator.clipboard.writeText = async (text) => { window.copied = text; }")

    chromium.run("document.querySelector('#table tbody tr .copy').click()")

    assert chromium.run("return window.copied").startswith("attnbench run made -k ")
    assert chromium.run("return document.querySelector('#table tbody tr .copy').textContent") in (
        "copy",
        "copied",
    )


def test_the_advice_and_the_provenance_are_copied_as_json(chromium, page):
    chromium.open(page)
    chromium.run("navigator.clipboard.writeText = async (text) => { window.copied = text; }")
    texts = []
    for name in ("advice", "facts-1"):
        chromium.run("document.querySelector(`[data-copies=${arguments[0]}] button`).click()", name)
        texts.append(json.loads(chromium.run("return window.copied")))

    assert texts[0]["format"] == "attnbench.advice/1"
    assert texts[1]["run"] == "made-h200"
    assert chromium.run("return document.querySelector('.advice').open") is False


@pytest.mark.parametrize("width", [1280, 400])
def test_two_runs_and_two_devices_open_as_one_does(chromium, reports, tmp_path, width):
    maker = reports.Maker(tmp_path)
    rows = list(reports.sweep(lengths=2, batches=(1,), heads=(8,)))
    hostile = '"><img src=x onerror=alert(1)></script>' + "n" * 90
    gpu = {**maker.other_device, "device_name": "NVIDIA " + "Q" * 90}
    facts = {"run_id": "n", "run_name": hostile}
    pairs = {
        "runs": maker.again(rows, lambda row: 1 + 0.2 * (row["backend"] == "sdpa"), **facts),
        "devices": maker.again(rows, lambda _: 1.4, **gpu),
    }
    base = maker.run(rows)
    for name, other in pairs.items():
        from attnbench.report import report

        place = tmp_path / f"{name}.html"
        report([base, maker.run(other)], place)
        chromium.open(place, width=width)

        assert chromium.complaints() == []
        assert chromium.requests() == [place.as_uri()]
        assert chromium.run("return document.querySelectorAll('#compared svg[role=img]').length")
        assert chromium.run("return document.documentElement.scrollWidth") <= width
        assert chromium.run("return document.querySelectorAll('img').length") == 0
