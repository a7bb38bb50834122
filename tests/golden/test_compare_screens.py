"""What comparing and gating look like, at 80 and at 120 columns, and with which exit codes."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from attnbench.cli import compare as compare_verb
from attnbench.cli import gate as gate_verb
from attnbench.errors import AttnbenchError

PLACE = Path(__file__).parents[1] / "unit" / "analysis" / "made_runs.py"
SPEC = importlib.util.spec_from_file_location("made_runs", PLACE)
made = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(made)

SUITE = (
    "suite: made\nproblem: {q_len: 1, q_heads: 1, head_dim: 8, dtype: bf16}\nbackends: {sdpa: }\n"
    "gate: {max_slowdown: 5%}\n"
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Six baselines, a run with every kind of change, one without, and one on another GPU."""
    place = tmp_path_factory.mktemp("results")
    for day in range(6):
        rows = made.make_rows(
            seed=10 + day,
            run_id=f"b{day}",
            started_at=made.MOMENT - (6 - day) * made.DAY,
            git_commit="9b1d0e2aaa",
        )
        made.write_run(place / "base" / f"b{day}.parquet", rows, suite_text=SUITE)
    changes = {"run_id": "n", "triton_version": "3.9.0", "git_commit": "4f2c91abbb"}
    rows = made.make_rows(seed=99, slowdowns={4: 0.12, 8: -0.1}, **changes)
    rows = [row for row in rows if row["problem_id"] not in (f"{3:012x}", f"{5:012x}")]
    rows.append(made.make_row(3, 0, status="oom", **changes))
    rows += [made.make_row(50, process, [8.0] * 9, **changes) for process in range(5)]
    rows[0]["kernels"] = ["flash_fwd_v2"]
    made.write_run(place / "pr.parquet", rows, suite_text=SUITE)
    same = made.make_rows(seed=98, run_id="ok")
    made.write_run(place / "ok.parquet", same, suite_text=SUITE)
    few = made.make_rows(cases=3, seed=98, run_id="few", processes=3)
    made.write_run(place / "few.parquet", few, suite_text=SUITE)
    made.write_run(place / "unlimited.parquet", made.make_rows(seed=98, run_id="u"))
    other = made.make_rows(
        seed=97,
        run_id="h",
        slowdowns=dict.fromkeys(range(12), 0.4),
        device_id="x",
        device_name="NVIDIA H100",
        peak_bandwidth_gbps=3000.0,
    )
    made.write_run(place / "h100.parquet", other, suite_text=SUITE)
    two = made.make_rows(cases=4, run_id="two", seed=1)
    slower = dict.fromkeys(range(4), 0.5)
    two += made.make_rows(cases=4, run_id="two", seed=2, backend="naive", slowdowns=slower)
    made.write_run(place / "two.parquet", two, suite_text=SUITE)
    return place


@pytest.fixture
def call(folder, monkeypatch):
    """Call a verb in the folder; return its exit code and stdout."""
    monkeypatch.chdir(folder)
    for name in ("CI", "FORCE_COLOR", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)

    def run(verb, *words, width=100, **env):
        result = CliRunner().invoke(
            verb, words, env={"COLUMNS": str(width), **env}, standalone_mode=False
        )
        if result.exception is not None:
            raise result.exception
        return result.return_value, result.stdout

    return run


@pytest.mark.parametrize("width", [80, 120])
@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("compare_runs", ("base/b5.parquet", "pr.parquet")),
        ("compare_gpus", ("base/b5.parquet", "h100.parquet")),
        (
            "compare_prices",
            (
                *("base/b5.parquet", "h100.parquet"),
                *("--price", "H200=3.80", "--price", "NVIDIA H100=2.50"),
            ),
        ),
        (
            "compare_several_prices",
            (
                *("base/b5.parquet", "ok.parquet", "h100.parquet"),
                *("--price", "H200=3.80", "--price", "H100=2.50"),
            ),
        ),
        ("compare_gpus_rows", ("base/b5.parquet", "h100.parquet", "--rows", "kv_len")),
        ("compare_several_explained", ("base/b5.parquet", "ok.parquet", "pr.parquet", "--explain")),
        ("compare_backends", ("two.parquet", "--by", "backend", "--explain")),
        ("compare_rows", ("base/b5.parquet", "pr.parquet", "--rows", "kv_len")),
        ("compare_several", ("base/b5.parquet", "pr.parquet", "ok.parquet", "h100.parquet")),
        (
            "compare_several_rows",
            ("base/b5.parquet", "pr.parquet", "ok.parquet", "--rows", "kv_len"),
        ),
        ("compare_pooled", ("base/b5.parquet", "pr.parquet", "h100.parquet", "--by", "gpu")),
    ],
)
def test_a_comparison_on_a_screen(call, golden, name, words, width):
    code, text = call(compare_verb.command, *words, width=width)

    golden(f"{name}_{width}", text)
    assert code == 0
    assert max(map(len, text.splitlines())) <= width


@pytest.mark.parametrize("width", [80, 120])
@pytest.mark.parametrize(
    ("name", "words", "expected"),
    [
        ("gate_pass", ("ok.parquet", "--baseline", "base"), 0),
        ("gate_fail", ("pr.parquet", "--baseline", "base"), 1),
        ("gate_open", ("few.parquet", "--baseline", "base", "--inconclusive", "fail"), 3),
        ("gate_one_baseline", ("ok.parquet", "--baseline", "base/b1.parquet"), 0),
        ("gate_selftest", ("ok.parquet", "--baseline", "base", "--selftest"), 0),
    ],
)
def test_a_ruling_on_a_screen(call, golden, name, words, expected, width):
    code, text = call(gate_verb.command, *words, width=width)

    golden(f"{name}_{width}", text)
    assert code == expected
    assert max(map(len, text.splitlines())) <= width


@pytest.mark.parametrize(
    ("verb", "words", "code", "message"),
    [
        ("gate", ("h100.parquet", "--baseline", "base"), 4, "another device than this run"),
        ("gate", ("unlimited.parquet", "--baseline", "base"), 2, "there is no limit"),
        ("gate", ("ok.parquet", "--baseline", "base", "-k", "kv_len=3"), 5, "no case of ok"),
        ("gate", ("ok.parquet", "--baseline", "ok.parquet"), 2, "its own only baseline"),
        ("gate", ("ok.parquet", "--baseline", "gone.parquet"), 2, "does not exist"),
        ("gate", ("ok.parquet", "--baseline", "base", "--github-summary"), 2, "is not set"),
        ("compare", ("base/b5.parquet", "gone.parquet"), 2, "does not exist"),
        ("compare", ("base/b5.parquet",), 5, "nothing to be compared with"),
        ("compare", ("two.parquet", "--by", "backend", "--against", "sdpo"), 2, "no backend is"),
        ("compare", ("base/b5.parquet", "ok.parquet", "--rows", "kvlen"), 2, "no case has a field"),
        *(
            ("compare", ("base/b5.parquet", "h100.parquet", "--price", text), 2, message)
            for text, message in (
                ("H300=2", "no device of these runs is called 'H300'"),
                ("H200", "a device and its dollars an hour; got 'H200'"),
                ("H200=cheap", "got 'H200=cheap'"),
                ("=2", "got '=2'"),
                ("H200=0", "dollars an hour, above 0; got 0"),
                ("H200=-1", "dollars an hour, above 0; got -1"),
            )
        ),
    ],
)
def test_what_cannot_be_done_is_an_error_of_its_own(call, monkeypatch, verb, words, code, message):
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)
    verbs = {"gate": gate_verb.command, "compare": compare_verb.command}

    with pytest.raises(AttnbenchError, match=message) as raised:
        call(verbs[verb], *words)

    assert raised.value.exit_code == code


def test_undecided_warns_or_passes_unless_it_shall_fail(call):
    for word, code in (("warn", 0), ("pass", 0), ("fail", 3)):
        found, _ = call(
            gate_verb.command, "few.parquet", "--baseline", "base", "--inconclusive", word
        )
        assert found == code


def test_every_output_of_a_gate_is_written(call, tmp_path):
    summary = tmp_path / "summary.md"
    summary.write_text("before\n", encoding="utf-8")
    files = [tmp_path / name for name in ("ruling.json", "junit.xml", "comment.md")]
    flags = [
        part
        for flag, file in zip(("--json-to", "--junit", "--comment-file"), files, strict=True)
        for part in (flag, str(file))
    ]

    code, text = call(
        gate_verb.command,
        *("pr.parquet", "--baseline", "base", "--json", "--github-summary", *flags),
        GITHUB_STEP_SUMMARY=str(summary),
    )

    assert code == 1
    assert json.loads(text) == json.loads(files[0].read_text(encoding="utf-8"))
    assert "<testsuites" in files[1].read_text(encoding="utf-8")
    assert files[2].read_text(encoding="utf-8").startswith("<!-- attnbench:made:")
    assert summary.read_text(encoding="utf-8").startswith("before\n<!-- attnbench:made:")


def test_github_hears_of_the_cases_beside_the_data(folder, capfd, monkeypatch):
    monkeypatch.chdir(folder)
    monkeypatch.setenv("GITHUB_ACTIONS", "true")

    code = gate_verb.command.main(
        ["pr.parquet", "--baseline", "base", "--json"], standalone_mode=False
    )

    out, err = capfd.readouterr()
    assert code == 1
    assert json.loads(out)["outcome"] == "fail"
    assert err.startswith(
        "::error title=attnbench%3A decode 1q1s16k 32/8x128 bf16 · sdpa::+12.1%25"
    )
    assert [line.split(" ")[0] for line in err.splitlines()] == [
        *("::error", "::error", "::warning")
    ]


def test_the_comment_of_a_failing_gate(call, golden, tmp_path):
    call(
        gate_verb.command,
        *("pr.parquet", "--baseline", "base", "--comment-file", str(tmp_path / "c.md")),
    )

    golden("gate_comment", (tmp_path / "c.md").read_text(encoding="utf-8"))


def test_many_new_runs_stand_below_each_other_where_they_do_not_fit(call):
    runs = [f"base/b{number}.parquet" for number in range(1, 6)]

    _, text = call(compare_verb.command, "base/b0.parquet", *runs, width=60)

    lines = text.splitlines()
    assert sum(line.startswith("problem") for line in lines) > 1
    assert max(map(len, lines)) <= 60
    assert [line.split()[1] for line in lines if line.startswith("new ")] == [
        f"b{number}" for number in range(1, 6)
    ]


def test_a_comparison_can_be_a_report_too(call, tmp_path):
    out = tmp_path / "compare.html"

    code, text = call(compare_verb.command, "base/b5.parquet", "ok.parquet", "--html", str(out))

    assert code == 0
    assert "geometric mean" in text
    assert out.read_text(encoding="utf-8").startswith("<!doctype html>")


def test_a_comparison_is_json(call):
    _, text = call(compare_verb.command, "base/b5.parquet", "pr.parquet", "--json")

    (found,) = json.loads(text)
    assert found["verdicts"] == {"same": 6, "slower": 1, "faster": 1, "unclear": 2}
    assert len(found["cases"]) == 13


def test_what_a_dollar_buys_is_in_the_json_where_prices_were_given(call):
    words = ("base/b5.parquet", "h100.parquet", "--json")
    _, without = call(compare_verb.command, *words)
    _, text = call(compare_verb.command, *words, "--price", "H200=3.6", "--price", "H100=1.8")

    assert "dollar" not in without
    (found,) = json.loads(text)
    case = found["cases"][0]
    assert found["dollars_an_hour"] == {"base": 3.6, "new": 1.8}
    base, new = (case[side]["latency_us"] for side in ("base", "new"))
    assert case["dollars_a_million_calls"]["base"] == pytest.approx(base / 1000)
    assert case["work_a_dollar"] == pytest.approx(2 * base / new)
    mean = found["geometric_mean"]
    assert mean["work_a_dollar"] == pytest.approx(2 / mean["ratio"])


def test_a_device_without_a_price_and_prices_on_one_device_are_named(call):
    _, one = call(compare_verb.command, "base/b5.parquet", "h100.parquet", "--price", "H200=3")
    _, same = call(compare_verb.command, "base/b5.parquet", "ok.parquet", "--price", "H200=3")

    said = " ".join(one.split())
    assert "NVIDIA H100 has no price, so no work per dollar: --price 'NVIDIA H100=" in said
    assert "work per dollar changes as latency does" in same


def test_accepting_says_what_was_accepted(call, folder, tmp_path):
    copy = tmp_path / "copy.parquet"
    copy.write_bytes((folder / "pr.parquet").read_bytes())

    words = ("accept", str(copy), "-k", "kv_len=16k", "--reason", "exact mask")
    code, text = call(gate_verb.baseline_command, *words)

    assert code == 0
    assert text.startswith("accepted 2 cases in ")
    assert "exact mask" in text
