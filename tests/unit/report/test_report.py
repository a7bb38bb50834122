"""The page as a whole: complete, offline, harmless, and readable whatever the runs hold."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from html import unescape
from html.parser import HTMLParser

import pytest

from attnbench.errors import InputError, NothingSelected, OptionError, OutputError
from attnbench.report import report, svg

HOSTILE = (
    '"><script>alert(1)</script><img src=x onerror="alert(2)">',
    "</script><!--<script>",
    "</style><svg onload=alert(3)>",
    "' onmouseover='alert(4)",
    "javascript:alert(5)",
    "{{ 7 * 7 }}{% raw %}",
    "$\\frac{1}{0}$",
    "日本語 naïve ✓ \u202eright to left",
    "n" * 400,
)


class Reader(HTMLParser):
    """Collects what a browser would act on."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.texts: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def handle_data(self, data):
        self.texts.append(data)


def test_every_section_and_figure_is_there(h200_html):
    ids = {value for _, name, value in Reader(h200_html).attributes if name == "id"}

    assert {"which", "how-long", "hardware", "decode", "fits", "trust"} <= ids
    assert {"cases", "provenance", "reading"} <= ids
    figures = {one for one in ids if one.startswith("f-")}
    assert figures == {
        *("f-crossover", "f-speedup", "f-latency", "f-roofline", "f-bandwidth-batch", "f-clocks"),
        *("f-bandwidth-length", "f-groups", "f-memory", "f-intervals", "f-samples"),
    }
    assert "No figure:" not in h200_html


def test_ids_are_unique(h200_html):
    ids = [value for _, name, value in Reader(h200_html).attributes if name == "id"]

    assert len(ids) == len(set(ids))


def test_every_figure_has_its_numbers_and_every_drawing_a_title(h200_html):
    tags = Reader(h200_html).tags

    assert h200_html.count('<details class="data">') == tags.count("figure") == 11
    assert h200_html.count('role="img"') == h200_html.count("<desc ")
    assert tags.count("title") == 1 + h200_html.count('role="img"')


def test_nothing_points_outside_the_file(h200_html):
    reader = Reader(h200_html)
    for _, name, value in reader.attributes:
        if name in ("href", "src", "xlink:href", "action", "data", "srcset", "poster"):
            assert value.startswith("#"), value
    assert not re.search(r"url\((?!#)", h200_html)
    assert "@import" not in h200_html
    assert not {"link", "iframe", "img", "object", "embed", "base", "form"} & set(reader.tags)


def test_the_policy_lets_nothing_in(h200_html):
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]+)"', h200_html)

    assert policy.startswith(
        "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:;"
    )


def test_hostile_names_are_text_everywhere(made):
    rows = []
    for number, name in enumerate(HOSTILE):
        who = made.identity(
            run_name=name, suite=name, run_args=name, suite_tags=(name,), repro=name
        )
        for problem in (made.decode(kv_len=1024), made.decode(kv_len=2048)):
            rows += made.ok_rows(
                problem, name, latency_us=50.0 + 9 * number, who=who, throttle_reasons=name
            )
        rows.append(made.other_row(made.prefill(), name, "failed", name, who=who))
    path = made.run(rows, suite_text="".join(HOSTILE), baseline=HOSTILE[0])
    written = report(path, made.folder / "x.html", title=HOSTILE[0])
    text = written.path.read_text(encoding="utf-8")
    reader = Reader(text)

    assert reader.tags.count("script") == 1
    assert reader.tags.count("style") == 1
    assert not [name for _, name, _ in reader.attributes if name.startswith("on")]
    assert "img" not in reader.tags
    assert "49" not in [one.strip() for one in reader.texts]
    for name in HOSTILE:
        assert any(svg.visible(name) in one for one in reader.texts), name
    assert "\u202e" not in text


def test_embedded_data_cannot_end_its_element():
    from attnbench.report.html import embedded

    text = embedded(["</script><script>", "<!--", "&amp;", "\u2028"])

    assert not set("<>&\u2028") & set(text)
    assert json.loads(text) == ["</script><script>", "<!--", "&amp;", "\u2028"]


def test_five_hundred_cases_are_two_megabytes_in_fifteen_seconds(made):
    path = made.run(made.sweep(lengths=11, batches=(1, 8, 64, 128)))
    start = time.process_time()

    written = report(path, made.folder / "x.html")

    assert written.cases >= 490
    assert written.bytes <= 2_000_000
    # Of one core: what else the machine does is not the report's.
    assert time.process_time() - start < 15


def test_above_two_thousand_cases_the_rest_is_data(made):
    rows = [
        made.other_row(made.decode(1 + n // 20, 64 * (1 + n % 20)), "sdpa", "skipped", "no time")
        for n in range(2050)
    ]
    text = made.html(rows)

    body = text[text.index('id="table"') : text.index("</table>", text.index('id="table"'))]
    assert body.count("<tr>") == 500 + 1
    (rest,) = re.findall(r'<script type="application/json" id="rest">(.*?)</script>', text)
    columns = json.loads(rest)
    assert {len(column["t"]) for column in columns} == {1550}
    assert columns[4]["v"][0] == columns[4]["v"][0] * 1


def test_a_run_with_only_failures_reads_well(made):
    text = made.html(
        [
            made.other_row(made.decode(), "sdpa", "oom", "201 GB are needed"),
            made.other_row(made.decode(), "naive", "failed", "RuntimeError: no\nsecond line"),
        ]
    )

    assert "Nothing can be compared: 1 case failed, 1 case oom." in text
    assert "201 GB are needed" in text
    assert text.count("No figure:") == 11
    assert 'role="img"' not in text


def test_one_row_is_a_page(made):
    text = made.html(made.ok_rows(made.decode(), "sdpa", processes=1))

    assert "Only sdpa was measured: 1 problem" in text
    assert "1 of 1 ok cases have fewer than three processes" in text


def test_forty_backends_are_distinguished_as_far_as_possible(made):
    names = [f"backend_number_{n}" for n in range(40)]
    text = made.html(made.sweep(names, lengths=2, batches=(1,), heads=(8,)))

    assert "32 other backends, in grey" in text
    assert all(name in text for name in names)


def test_runs_without_a_common_case_are_shown_side_by_side(made):
    other = made.identity(run_id="r2", run_name="elsewhere")
    paths = [
        made.run(made.ok_rows(made.decode(), "sdpa")),
        made.run(made.ok_rows(made.prefill(), "naive", who=other)),
    ]
    report(paths, made.folder / "x.html")
    text = (made.folder / "x.html").read_text(encoding="utf-8")

    assert "made-h200: only sdpa was measured: 1 problem" in text
    assert "elsewhere: only naive was measured: 1 problem" in text
    assert "made-h200 and elsewhere have no case in common" in text
    assert 'id="compared"' not in text


def test_a_ragged_batch_has_no_length_and_still_stands_in_the_table(made):
    problem = made.decode(batch=None, kv_len=None, q_len=None, requests="2q1s1k_q512")
    rows = [*made.ok_rows(problem, "sdpa"), *made.ok_rows(problem, "naive")]

    assert "mixed 2q1s1k_q512" in made.html(rows)


def test_a_case_that_is_not_ok_has_no_number_in_the_table(made):
    ok = list(made.ok_rows(made.decode(), "sdpa", latency_us=123.0))
    bad = {**made.other_row(made.decode(), "sdpa", "incorrect", "wrong by 0.3"), "process": 3}
    text = made.html([*ok, bad])

    assert ">123" not in text
    assert "wrong by 0.3" in text
    assert "1 incorrect: these cases have no latency" in text


def test_the_same_runs_make_the_same_bytes(made):
    path = made.run(made.sweep(lengths=2, batches=(1,), heads=(8,)))
    pages = []
    for name in ("a.html", "b.html"):
        report(path, made.folder / name)
        pages.append((made.folder / name).read_bytes())

    assert pages[0] == pages[1]


def test_the_baseline_is_the_suites_or_the_one_that_is_named(made):
    rows = list(made.sweep(("sdpa", "naive"), lengths=2, batches=(1,), heads=(8,)))
    path = made.run(rows, baseline="sdpa")
    for baseline, words in (
        (None, "sdpa is the suite"),
        ("naive", "naive is the backend named by --baseline"),
    ):
        report(path, made.folder / "x.html", baseline=baseline)
        assert words in (made.folder / "x.html").read_text(encoding="utf-8")


def test_a_backend_that_is_not_there_is_named_with_the_nearest(made):
    path = made.run(made.ok_rows(made.decode(), "sdpa"))
    with pytest.raises(OptionError, match=r"'sdpaa', did you mean 'sdpa'"):
        report(path, made.folder / "x.html", baseline="sdpaa")
    with pytest.raises(OptionError, match="these runs have no backend"):
        report(path, made.folder / "x.html", colours={"flash": 1})


def test_what_cannot_be_read_written_or_found_says_so(made):
    path = made.run(made.ok_rows(made.decode(), "sdpa"))
    with pytest.raises(NothingSelected):
        report(path, made.folder / "x.html", filter="backend=naive")
    with pytest.raises(InputError):
        report(made.folder / "gone.parquet", made.folder / "x.html")
    with pytest.raises(OutputError):
        report(path, path / "x.html")


def test_a_foreign_file_without_a_footer_is_reported_too(made):
    import pyarrow.parquet as pq

    path = made.run(made.sweep(lengths=2, batches=(1,), heads=(8,)))
    table = pq.read_table(path)
    version = {b"attnbench.schema_version": table.schema.metadata[b"attnbench.schema_version"]}
    pq.write_table(table.replace_schema_metadata(version), path)

    assert report(path, made.folder / "x.html").cases == 12


def test_making_a_report_loads_no_torch(made):
    path = made.run(made.ok_rows(made.decode(), "sdpa"))
    script = (
        "import sys; from attnbench.report import report; report(*sys.argv[1:]);"
        " assert not {'torch', 'triton'} & set(sys.modules)"
    )

    subprocess.run([sys.executable, "-c", script, path, made.folder / "x.html"], check=True)


def test_a_status_stands_in_full_in_the_narrowest_map(made):
    rows = [
        row
        for batch in (1, 8)
        for length in (1024, 2048)
        for row in (
            made.other_row(made.decode(batch, length), "sdpa", "unsupported", "not here"),
            made.other_row(made.decode(batch, length), "naive", "unsupported", "nor here"),
        )
    ]
    rows += [
        row for backend in ("sdpa", "naive") for row in made.ok_rows(made.decode(8, 4096), backend)
    ]
    (panel,) = made.figure(rows, "crossover").panels

    assert panel.svg.count(">unsupported</text>") == 4


def test_a_speedup_that_is_a_tie_is_hatched(made):
    rows = [
        row
        for backend, us in (("sdpa", 40.0), ("naive", 40.2))
        for row in made.ok_rows(made.decode(), backend, latency_us=us)
    ]
    figure = made.figure(rows, "speedup")

    assert "hatched is a tie" in figure.how
    assert figure.keys[-1].text == "a tie"


def test_a_call_of_few_launches_is_shaded(made):
    for overhead, is_shaded in ((6.0, True), (None, False)):
        rows = [
            row
            for length in (1024, 2048)
            for row in made.ok_rows(made.decode(1, length), "sdpa", launch_overhead_us=overhead)
        ]
        keys = [one.text for one in made.figure(rows, "latency").keys]

        assert ("launch overhead is a fifth of the time or more" in keys) is is_shaded


def test_predicted_memory_and_the_data_sheets_roof_are_drawn(h200_html):
    assert "predicted minimum: q, k, v and output" in h200_html
    assert "data sheet ceiling" in h200_html


def test_others_figures_the_advice_and_the_commands_are_on_the_page(made):
    quoted = [
        {"where": "phase=decode", "backend": "theirs", "device": "a B200", "latency_us": 12.5},
        {"where": "kv_len=8", "backend": "nobody", "device": "x", "gbps": 1.0},
    ]
    rows = list(made.ok_rows(made.decode(), "sdpa", latency_us=40.0, noise=1e-9))
    report(made.run(rows, published=quoted), made.folder / "x.html")
    text = (made.folder / "x.html").read_text(encoding="utf-8")
    (advice,) = re.findall(r'<pre id="advice">(.*?)</pre>', text, re.DOTALL)

    assert 'id="published"' in text
    for words in ("theirs", "12.5 µs", "a B200", "40.0 µs, sdpa, NVIDIA H200"):
        assert words in text
    assert "nobody" not in text
    assert json.loads(unescape(advice))["format"] == "attnbench.advice/1"
    assert f"<td>attnbench run made -k {rows[0]['case_id']}</td>" in text


def test_without_others_figures_there_is_no_such_section(h200_html):
    assert 'id="published"' not in h200_html


@pytest.mark.parametrize(
    ("large", "said"),
    [
        (("L2_RESIDENT",), "the working set of 2 of 2 decode cases fits in the last-level cache"),
        ((), "at two or more batch sizes; 1 of 2 cases fit in the last-level cache"),
    ],
)
def test_a_bandwidth_without_a_figure_says_what_the_cache_holds(made, large, said):
    rows = [
        *made.ok_rows(made.decode(batch=1), "sdpa", notes=("L2_RESIDENT",)),
        *made.ok_rows(made.decode(batch=64), "sdpa", notes=large),
    ]
    report(made.run(rows), made.folder / "x.html")

    assert said in " ".join((made.folder / "x.html").read_text(encoding="utf-8").split())
