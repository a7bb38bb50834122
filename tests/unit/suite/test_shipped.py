from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from attnbench.cost import compute_cost
from attnbench.device.rates import lookup
from attnbench.errors import InputError
from attnbench.filter import case_fields
from attnbench.registry import Registry
from attnbench.suite import find, load, shipped
from attnbench.suite.shipped import folder, starter_text

NAMES = [
    "ab",
    "ci",
    "cross",
    "decode",
    "gqa_groups",
    "kv_cache",
    "mixed",
    "models",
    "peers",
    "prefill",
    "quick",
    "train",
    "tune",
    "variants",
]


@pytest.fixture
def catalogue():
    """The real one: a shipped suite names backends that there are."""
    return Registry()


@pytest.fixture(scope="module", params=NAMES)
def name(request):
    return request.param


def test_the_shipped_suites_are_these():
    assert [one.name for one in shipped()] == NAMES


def test_a_shipped_suite_loads_and_is_what_the_list_says(name, catalogue):
    (listed,) = [one for one in shipped() if one.name == name]
    suite = load(find(name), catalogue)

    assert suite.name == name
    assert suite.about == listed.about
    assert suite.tags == listed.tags
    # The sides of `ab` are named on its command line.
    needed = {"sdpa"} if name == "ab" else {"naive", "sdpa"}
    assert {case.backend for case in suite.cases} >= needed
    assert suite.gate.given


def test_a_shipped_suite_helps_the_editor_and_explains_itself(name):
    lines = find(name).read_text(encoding="utf-8").splitlines()

    assert lines[0] == "# yaml-language-server: $schema=./suite.schema.json"
    assert sum("#" in line for line in lines) >= 4
    assert all(len(line) <= 100 for line in lines if not line.startswith("  - {where: "))


def test_the_quick_suite_is_quick(catalogue):
    assert len(load(find("quick"), catalogue).cases) <= 8


def test_published_figures_are_for_cases_that_the_suite_has(name, catalogue):
    suite = load(find(name), catalogue)
    for one in suite.published:
        cases = [case for case in suite.cases if one.where.matches(case_fields(case))]
        assert len({case.problem for case in cases}) == 1
        if one.tflops and one.latency_us:
            # The figures agree with our price of the case, as far as they are rounded.
            ours = compute_cost(cases[0].problem).flops / one.latency_us / 1e6
            assert ours == pytest.approx(one.tflops, rel=0.02)


def test_gqa_groups_goes_from_mqa_to_mha(catalogue):
    suite = load(find("gqa_groups"), catalogue)

    assert {case.problem.kv_heads for case in suite.cases} == {1, 2, 4, 8, 16, 32}
    assert {case.problem.q_heads for case in suite.cases} == {32}


def test_the_cache_is_paged_in_order_and_shuffled_and_quantised(catalogue):
    problems = {case.problem for case in load(find("kv_cache"), catalogue).cases}

    assert {one.page_order for one in problems} == {None, "identity", "shuffled"}
    assert {one.kv_dtype for one in problems} == {"bf16", "fp8_e4m3", "int8", "int4"}


def test_a_path_is_found_as_it_is(tmp_path):
    mine = tmp_path / "mine.yaml"
    mine.write_text("suite: mine")

    assert find(str(mine)) == mine


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ("decod", "no suite 'decod'\n  did you mean 'decode'?"),
        (
            "suites/decode.yaml",
            "no such file: suites/decode.yaml\n  the shipped suite: attnbench run decode",
        ),
        ("decode.yml", "no such file: decode.yml\n  the shipped suite: attnbench run decode"),
        ("mien.yaml", "no such file: mien.yaml\n  did you mean 'mine.yaml'?"),
        ("zzz", f"no suite 'zzz'\n  suites: {', '.join(NAMES)}; a file needs its .yaml ending"),
        (".", "no suite '.'"),
        ("sub/", "sub/ is a folder; a suite is a YAML file"),
    ],
)
def test_what_is_not_there_is_reported_with_what_to_type(asked, said, tmp_path, monkeypatch):
    (tmp_path / "mine.yaml").write_text("suite: mine")
    (tmp_path / "sub").mkdir()
    monkeypatch.chdir(tmp_path)

    with pytest.raises(InputError) as caught:
        find(asked)

    assert str(caught.value).startswith(said)


def test_suites_inside_the_package_come_first(tmp_path, monkeypatch):
    monkeypatch.setattr(sys.modules[folder.__module__], "_PACKAGE", tmp_path / "attnbench")
    (tmp_path / "suites").mkdir()
    assert folder() == tmp_path / "suites"

    (tmp_path / "attnbench" / "shipped_suites").mkdir(parents=True)
    assert folder() == tmp_path / "attnbench" / "shipped_suites"


def test_no_yaml_parser_is_loaded_for_the_list():
    program = (
        "from attnbench.suite import shipped; shipped(); import sys; "
        "print({'ruamel', 'pydantic', 'torch'} & {one.partition('.')[0] for one in sys.modules})"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )

    assert done.stdout.strip() == "set()"
    assert isinstance(folder(), Path)


def test_peers_names_every_adapter_and_each_can_do_something_of_it(catalogue):
    suite = load(find("peers"), catalogue)
    gpus = [lookup(one).device for one in ("h200", "b200")]
    able = set()
    for case in suite.cases:
        facts = catalogue.describe(case.backend, folder=Path())
        for gpu in gpus:
            rule = facts.why_not or (lambda *_, **__: None)
            if not (
                facts.capabilities.why_not(case.problem, gpu)
                or rule(case.problem, gpu, **dict(case.options))
            ):
                able.add(case.backend_label)

    # A label that no GPU can do would only ever be rows of reasons.
    assert able == set(suite.labels)
    adapters = {row.name for row in catalogue.listed() if row.library is not None}
    assert adapters <= {case.backend for case in suite.cases}


def test_the_starter_is_a_suite_as_it_stands(loaded):
    suite = loaded(starter_text("mine"))

    assert suite.name == "mine"
    assert len(suite.cases) == 22
    assert suite.baseline == "sdpa"


def test_the_starter_points_editors_to_the_schema():
    first, *_ = starter_text().splitlines()

    assert first == "# yaml-language-server: $schema=./suite.schema.json"
