"""pytest with attnbench's plugin, run by pytester: suites as tests, and kernels of one's own."""

from __future__ import annotations

import importlib
import importlib.metadata
import json
import subprocess
import sys

import pytest

pytest.importorskip("pytest_benchmark")
# Loaded before pytester's sessions, which unload at their end whatever they were first to import:
# libraries written in C cannot be loaded twice, and the rest would cost each session a second.
LOADED_ONCE = (
    *("numpy", "pandas", "pyarrow.parquet", "scipy.stats", "torch.nn.attention.bias", "hypothesis"),
    *("attnbench.analysis.compare", "attnbench.planning.plan", "attnbench.measure.context"),
    *(
        "attnbench.pytest_plugin.fixture",
        "attnbench.pytest_plugin.checked_call",
        "attnbench.registry",
    ),
    *("attnbench.pytest_plugin.suites", "attnbench.suite.schema", "attnbench.backends.sdpa"),
    "attnbench.backends.triton_decode",
)
for module in LOADED_ONCE:
    importlib.import_module(module)
torch = importlib.import_module("torch")

pytest_plugins = ["pytester"]
pytestmark = pytest.mark.torch

POINTS = importlib.metadata.entry_points(group="pytest11")
# Installed, the entry point loads it; in a bare source tree it must be named.
LOADED = any(point.value == "attnbench.pytest_plugin" for point in POINTS)
PLUGIN = () if LOADED else ("-p", "attnbench.pytest_plugin")
# At its end a session looks for what was left over in all of torch's objects, several times.
QUICK = (
    "-p",
    "no:unraisableexception",
    "--benchmark-min-rounds=3",
    "--benchmark-max-time=0.001",
    "--benchmark-min-time=1e-6",
)

SUITE = """
suite: small
problem: {q_len: 1, kv_len: 64, head_dim: 16, dtype: fp32}
sweep:
  heads: [{q_heads: 2}, {q_heads: 4, kv_heads: 2}]
backends:
  sdpa:
  ./wrong.py:
  ./gone.py:
  triton_decode:
"""
WRONG = """
from attnbench.plugin import Capabilities
capabilities = Capabilities()
def prepare(inputs):
    return lambda: 2 * inputs.q
"""
BROKEN = """
from attnbench.plugin import Capabilities
capabilities = Capabilities()
def prepare(inputs):
    def attend():
        raise ValueError("no such luck")
    return attend
"""
OWN = """
import pytest
from torch.nn.functional import scaled_dot_product_attention

@pytest.mark.attnbench(
    q_len=1, kv_len=["64", 128], q_heads=4, kv_heads=2, head_dim=16, dtype="fp32"
)
def test_own(attnbench):
    q, k, v = attnbench.inputs.q, attnbench.inputs.k, attnbench.inputs.v
    attnbench(lambda: scaled_dot_product_attention(q, k, v, enable_gqa=True))

@pytest.mark.attnbench(q_len=1, kv_len=64, q_heads=2, head_dim=16, dtype="fp32")
def test_wrong(attnbench):
    attnbench(lambda: attnbench.inputs.q)

@pytest.mark.attnbench(q_len=8, q_heads=2, head_dim=16, dtype="fp32", mode="bwd", mask="causal")
def test_gradients(attnbench):
    i = attnbench.inputs
    attnbench(lambda: scaled_dot_product_attention(i.q, i.k, i.v, is_causal=True))

@pytest.mark.attnbench(q_len=1, kv_len=64, q_heads=2, head_dim=16, dtype="fp32")
def test_that_remembers(attnbench):
    i = attnbench.inputs
    answer = scaled_dot_product_attention(i.q, i.k, i.v)
    attnbench(lambda: answer)
"""


# Looking the CPU up takes pytest-benchmark a second a session.
CONFTEST = """
def pytest_benchmark_generate_machine_info():
    return {"machine": "x86_64", "cpu": {}}
"""


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """Threads that wait for each other on a busy machine take longer than these tiny cases."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def run(pytester, monkeypatch):
    """Run pytest with the plugin in this process and return its result."""
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.delenv("PYTEST_XDIST_WORKER", raising=False)  # the outer session's, not theirs
    pytester.makeconftest(CONFTEST)

    def call(*words):
        return pytester.runpytest_inprocess(*PLUGIN, *QUICK, *words)

    return call


@pytest.fixture
def suite(pytester):
    pytester.makefile(".py", wrong=WRONG, gone=BROKEN)
    return pytester.makefile(".yaml", small=SUITE)


def test_a_suite_becomes_a_test_of_each_case(run, suite):
    result = run("--attnbench", suite.name, "-rsf", "--benchmark-json=out.json")

    result.assert_outcomes(passed=2, failed=4, skipped=2)
    result.stdout.fnmatch_lines(
        [
            "SKIPPED [[]2[]] small.yaml: unsupported: device cpu is not one of cuda",
            "FAILED small.yaml::decode q1s64 2/2x16 fp32 · wrong - Failed: incorrect: o is off by*",
            "FAILED small.yaml::*2/2x16 fp32 · gone - Failed: failed: ValueError: no such luck*",
        ]
    )
    result.stdout.no_fnmatch_line("*Traceback*")


def test_what_is_recorded_is_a_file_of_pytest_benchmark(run, suite, pytester):
    run("--attnbench", suite.name, "-k", "sdpa", "--benchmark-json=out.json")

    document = json.loads((pytester.path / "out.json").read_text(encoding="utf-8"))
    found = document["benchmarks"]
    assert [one["name"] for one in found] == [
        "decode q1s64 2/2x16 fp32 · sdpa",
        "decode q1s64 4/2x16 fp32 · sdpa",
    ]
    assert found[0]["group"] == "decode q1s64 2/2x16 fp32"
    assert found[0]["extra_info"]["attnbench"]["backend"] == "sdpa"
    assert len(found[0]["extra_info"]["attnbench"]["case_id"]) == 12
    assert found[0]["stats"]["rounds"] >= 3
    assert len(document["machine_info"]["attnbench"]["device_id"]) == 12
    done = subprocess.run(
        [sys.executable, "-m", "pytest_benchmark", "compare", "out.json", "--name=short"],
        cwd=pytester.path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "decode q1s64 2/2x16 fp32 · sdpa" in done.stdout


def test_attnbench_compares_what_the_plugin_recorded(run, suite, pytester):
    from attnbench.analysis.compare import compare

    for name in ("old.json", "new.json"):
        run("--attnbench", suite.name, "-k", "sdpa", f"--benchmark-json={name}")

    (found,) = compare(pytester.path / "old.json", pytester.path / "new.json")

    assert [one.label for one in found.comparisons] == [
        "decode q1s64 2/2x16 fp32 · sdpa",
        "decode q1s64 4/2x16 fp32 · sdpa",
    ]
    assert found.verdicts == {"unclear": 2}
    assert not found.ratios_only


def test_one_case_is_named_as_pytest_names_tests(run, suite):
    result = run("--attnbench", f"{suite.name}::decode q1s64 4/2x16 fp32 · sdpa")

    result.assert_outcomes(passed=1)


def test_without_timing_the_check_remains(run, suite):
    result = run("--attnbench", suite.name, "--benchmark-disable", "-k", "sdpa or wrong")

    result.assert_outcomes(passed=2, failed=2)


@pytest.mark.slow  # a worker imports torch again
def test_workers_of_xdist_check_and_do_not_time(pytester, suite):
    pytest.importorskip("xdist")

    words = ("--attnbench", suite.name, "-k", "sdpa", "-n1", "-p", "no:hypothesispytest")
    result = pytester.runpytest_inprocess(*PLUGIN, *words)

    result.assert_outcomes(passed=2)
    result.stdout.no_fnmatch_line("*OPS*")


@pytest.mark.usefixtures("suite")
def test_a_folder_gives_its_suites_and_no_other_yaml(run, pytester):
    pytester.makefile(".yaml", other="steps: [build]")

    result = run("--attnbench", "--collect-only", "-q", ".")

    result.stdout.fnmatch_lines(["small.yaml::*sdpa"])
    result.stdout.no_fnmatch_line("*other.yaml*")
    assert result.ret == 0


def test_the_faults_of_a_suite_are_shown_at_their_places(run, pytester):
    path = pytester.makefile(".yaml", bad="suite: bad\nproblem: {q_hedas: 2}\nbackends: {sdpa: }\n")

    result = run("--attnbench", path.name)

    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["error: *q_hedas*", "*bad.yaml:2:11*"])
    result.stdout.no_fnmatch_line("*Traceback*")


def test_a_device_that_is_not_there_ends_the_session_in_one_line(run, suite):
    result = run("--attnbench", suite.name, "--attnbench-device=cuda:9")

    assert result.ret == 4
    result.stdout.fnmatch_lines(["*--attnbench-device cuda:9: torch sees no CUDA device 9*"])


def test_without_pytest_benchmark_it_says_what_to_install(pytester, suite):
    result = pytester.runpytest_inprocess(*PLUGIN, "-p", "no:benchmark", "--attnbench", suite.name)

    assert result.ret == 4
    result.stderr.fnmatch_lines(["*attnbench's tests need pytest-benchmark: python -m pip*"])


def test_a_kernel_of_ones_own_is_checked_and_recorded(run, pytester):
    pytester.makepyfile(OWN)

    result = run("-v", "--benchmark-json=out.json", "-W", "error::pytest.PytestUnknownMarkWarning")

    result.assert_outcomes(passed=3, failed=2)
    result.stdout.fnmatch_lines(
        [
            "*test_own?decode q1s64 4/2x16 fp32? PASSED*",
            "*test_own?decode q1s128 4/2x16 fp32? PASSED*",
            "*test_wrong* FAILED*",
            "*test_gradients* PASSED*",
            "*test_that_remembers* FAILED*",
            "incorrect: o is off by*",
            "incorrect: after q was drawn again: *",
        ]
    )
    document = json.loads((pytester.path / "out.json").read_text(encoding="utf-8"))
    assert document["benchmarks"][1]["extra_info"]["attnbench"]["kv_len"] == 128


@pytest.mark.parametrize(
    ("marker", "message"),
    [
        ("", "needs a problem by its fields: @pytest.mark.attnbench(q_len=1*"),
        ("@pytest.mark.attnbench", "needs a problem by its fields: *"),
        ("@pytest.mark.attnbench(q_hedas=1)", "no field 'q_hedas'; did you mean 'q_heads'*"),
        ("@pytest.mark.attnbench(q_len='4x')", "q_len needs a whole number*"),
        (
            "@pytest.mark.attnbench(q_len=1, q_heads=3, kv_heads=2, head_dim=8, dtype='fp32')",
            "@pytest.mark.attnbench: *kv_heads*",
        ),
    ],
)
def test_a_marker_that_makes_no_problem_is_reported_in_one_line(run, pytester, marker, message):
    pytester.makepyfile(f"import pytest\n{marker}\ndef test_own(attnbench):\n    pass\n")

    result = run()

    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines([f"*{message}"])
    result.stdout.no_fnmatch_line("*Traceback*")


def test_a_fixture_of_the_same_name_is_left_alone(run, pytester):
    pytester.makepyfile(
        """
        import pytest
        @pytest.fixture
        def attnbench():
            return "mine"
        def test_own(attnbench):
            assert attnbench == "mine"
        """
    )

    run().assert_outcomes(passed=1)


def test_unasked_the_plugin_imports_neither_torch_nor_the_rest_of_attnbench(pytester, suite):
    pytester.makepyfile(
        test_free="""
        import sys
        def test_free():
            packages = {name.split(".")[1] for name in sys.modules if name.startswith("attnbench.")}
            assert packages == {"pytest_plugin"}
            assert not {"torch", "numpy", "pandas", "pydantic"} & set(sys.modules)
        """
    )
    words = ("-p", "no:cacheprovider", ".", str(suite.parent))

    result = pytester.runpytest_subprocess(*PLUGIN, *words)

    result.assert_outcomes(passed=1)
