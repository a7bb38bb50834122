"""docs/ci: what a user copies is valid, its shell runs, and the commands in it exist."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field, model_validator
from ruamel.yaml import YAML

ROOT = Path(__file__).parents[2]
CI = ROOT / "docs" / "ci"
WORKFLOWS = ["github-with-gpu.yml", "github-without-gpu.yml"]
SCRIPTS = ["gate.sh", "comment.sh"]

SPEC = importlib.util.spec_from_file_location(
    "made_runs", ROOT / "tests" / "unit" / "analysis" / "made_runs.py"
)
made = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(made)


def load(name):
    return YAML(typ="safe", pure=True).load((CI / name).read_text(encoding="utf-8"))


class Strict(BaseModel):
    """A mapping without keys that GitHub would refuse."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)


class Step(Strict):
    """A step; in a composite action `run` needs a shell."""

    name: str | None = None
    id: str | None = None
    condition: str | None = Field(None, alias="if")
    uses: str | None = None
    run: str | None = None
    shell: Literal["bash"] | None = None
    with_: dict[str, Any] | None = Field(None, alias="with")
    env: dict[str, str] = {}

    @model_validator(mode="after")
    def is_one_of_two(self):
        assert (self.uses is None) != (self.run is None), "a step either uses or runs"
        return self


class Input(Strict):
    description: str
    required: bool = False
    default: str | None = None


class Output(Strict):
    description: str
    value: str


class Composite(Strict):
    using: Literal["composite"]
    steps: list[Step]


class Action(Strict):
    """https://docs.github.com/actions/reference/workflows-and-actions/metadata-syntax."""

    name: str
    description: str
    inputs: dict[str, Input]
    outputs: dict[str, Output]
    runs: Composite


class Job(Strict):
    runs_on: str | list[str] = Field(alias="runs-on")
    timeout: int = Field(alias="timeout-minutes")
    concurrency: str | None = None
    steps: list[Step]


class Workflow(Strict):
    """https://docs.github.com/actions/reference/workflows-and-actions/workflow-syntax."""

    name: str
    on: dict[str, Any]
    permissions: dict[str, Literal["read", "write"]]
    jobs: dict[str, Job]


class GitlabArtifacts(Strict):
    when: Literal["always", "on_success", "on_failure"]
    paths: list[str]
    reports: dict[Literal["junit"], str] = {}
    expire_in: str


class GitlabJob(Strict):
    """https://docs.gitlab.com/ci/yaml/."""

    stage: str
    image: str | None = None
    tags: list[str] = []
    resource_group: str | None = None
    script: list[str]
    artifacts: GitlabArtifacts | None = None


def shell_of(name):
    """Every piece of shell in a template."""
    if name == "gitlab.yml":
        jobs = [job for key, job in load(name).items() if key.startswith(".")]
        return [line for job in jobs for line in job["script"]]
    document = load(name)
    jobs = [document["runs"]] if name == "action.yml" else document["jobs"].values()
    return [step["run"] for job in jobs for step in job["steps"] if "run" in step]


def test_the_action_is_one():
    action = Action.model_validate(load("action.yml"))

    assert all(step.shell == "bash" for step in action.runs.steps if step.run)
    asked = set(re.findall(r"inputs\.([\w-]+)", (CI / "action.yml").read_text(encoding="utf-8")))
    assert asked == set(action.inputs)


@pytest.mark.parametrize("name", WORKFLOWS)
def test_a_workflow_is_one_and_calls_the_action_as_it_is(name):
    workflow = Workflow.model_validate(load(name))
    known = Action.model_validate(load("action.yml")).inputs

    calls = [
        step
        for job in workflow.jobs.values()
        for step in job.steps
        if step.uses == "./.github/actions/attnbench-gate"
    ]
    assert calls
    for step in calls:
        assert set(step.with_) <= set(known)
        assert {one for one, declared in known.items() if declared.required} <= set(step.with_)


def test_the_gitlab_template_is_one():
    document = load("gitlab.yml")
    jobs = {name: job for name, job in document.items() if name.startswith(".")}

    assert set(document) - set(jobs) == {"variables", "stages"}
    for job in jobs.values():
        assert GitlabJob.model_validate(job).stage in document["stages"]


@pytest.mark.parametrize("name", ["action.yml", *WORKFLOWS, "gitlab.yml"])
def test_no_expression_is_pasted_into_shell(name):
    """What a pull request is called must not become a command."""
    for text in shell_of(name):
        assert "${{" not in text


@pytest.mark.parametrize("name", ["action.yml", *WORKFLOWS, "gitlab.yml"])
def test_the_shell_in_a_template_is_shell(name):
    for text in shell_of(name):
        done = subprocess.run(["bash", "-n"], input=text, text=True, check=False)

        assert done.returncode == 0, text


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_is_shell_that_stops_at_a_fault(name):
    text = (CI / name).read_text(encoding="utf-8")

    assert subprocess.run(["bash", "-n", CI / name], check=False).returncode == 0
    assert "\nset -euo pipefail\n" in text


def commands():
    scripts = {name: [(CI / name).read_text(encoding="utf-8")] for name in SCRIPTS}
    for name in ("action.yml", *WORKFLOWS, "gitlab.yml"):
        scripts[name] = shell_of(name)
    for name, texts in scripts.items():
        for text in texts:
            joined = re.sub(r"\\\n\s*", " ", text)
            for line in re.findall(r"^ *(attnbench .+)$", joined, re.MULTILINE):
                yield pytest.param(shlex.split(line.partition(" || ")[0]), id=f"{name}: {line}")


@pytest.mark.parametrize("words", list(commands()))
def test_a_command_in_a_template_exists_with_its_flags(words):
    from attnbench.cli.app import cli

    verb = cli.get_command(None, words[1])

    assert verb is not None
    known = {name for parameter in verb.params for name in parameter.opts}
    assert {word for word in words if word.startswith("--")} <= known


@pytest.fixture
def place(tmp_path):
    """A job's folder: two baselines, a run that is slower and one that is not."""
    for number in range(2):
        rows = made.make_rows(cases=4, seed=number, run_id=f"b{number}")
        made.write_run(tmp_path / "baselines" / f"{number}.parquet", rows)
    for name, slowdowns in (("slow", {2: 0.4}), ("same", {})):
        rows = made.make_rows(cases=4, seed=9, run_id=name, slowdowns=slowdowns, suite="ci")
        made.write_run(tmp_path / f"{name}.parquet", rows)
    return tmp_path


def gate(place, run, **variables):
    """Run gate.sh as the action does; return the exit code and what it put out."""
    output = place / "output.txt"
    output.write_text("", encoding="utf-8")
    done = subprocess.run(
        ["bash", CI / "gate.sh"],
        cwd=place,
        capture_output=True,
        text=True,
        check=False,
        env={
            **os.environ,
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
            "ATTNBENCH_RUN": run,
            "ATTNBENCH_BASELINES": "baselines/0.parquet\n\nbaselines/1.parquet\n",
            "GITHUB_OUTPUT": str(output),
            "GITHUB_STEP_SUMMARY": str(place / "summary.md"),
            **variables,
        },
    )
    return done.returncode, output.read_text(encoding="utf-8"), done


def test_the_gate_script_fails_with_the_gate_and_leaves_what_it_said(place):
    code, output, _ = gate(place, "slow.parquet", ATTNBENCH_MAX_SLOWDOWN="10%")

    assert (code, output) == (1, "outcome=fail\n")
    ruling = json.loads((place / "attnbench-gate" / "ruling.json").read_text(encoding="utf-8"))
    assert ruling["baselines"] == 2
    assert (place / "attnbench-gate" / "junit.xml").exists()
    assert "❌ fail" in (place / "summary.md").read_text(encoding="utf-8")


def test_the_gate_script_hands_on_every_wish(place):
    wishes = {"ATTNBENCH_INCONCLUSIVE": "fail", "ATTNBENCH_ONLY": "kv_len=1k"}

    code, output, done = gate(place, "same.parquet", ATTNBENCH_MAX_SLOWDOWN="0.1%", **wishes)

    assert (code, output) == (3, "outcome=inconclusive\n")
    assert "1 of 1 case cannot be decided" in done.stdout


def test_the_gate_script_tells_what_it_could_not_rule_on(place):
    (place / "attnbench-gate").mkdir()
    (place / "attnbench-gate" / "ruling.json").write_text('{"outcome": "pass"}', encoding="utf-8")

    code, output, done = gate(place, "gone.parquet", ATTNBENCH_MAX_SLOWDOWN="5%")

    assert (code, output) == (2, "outcome=error\n")
    assert "gone.parquet does not exist" in done.stderr


GH = """#!/usr/bin/env bash
printf '%s\\n' "$*" >> calls.txt
if [[ $* == *--paginate* ]]; then
  [[ $MARKER == "<!-- attnbench:ci:h200 -->" ]] || exit 9
  cat found.txt
fi
"""


def comment(place, *, outcome, found):
    """Run comment.sh with a `gh` that writes down what it was asked."""
    tools = place / "tools"
    tools.mkdir()
    (tools / "gh").write_text(GH, encoding="utf-8")
    (tools / "gh").chmod(0o755)
    (place / "found.txt").write_text(found, encoding="utf-8")
    (place / "attnbench-gate").mkdir(exist_ok=True)
    text = "<!-- attnbench:ci:h200 -->\n### attnbench\n"
    (place / "attnbench-gate" / "comment.md").write_text(text, encoding="utf-8")
    subprocess.run(
        ["bash", CI / "comment.sh"],
        cwd=place,
        check=True,
        env={
            **os.environ,
            "PATH": os.pathsep.join([str(tools), os.environ["PATH"]]),
            "GITHUB_REPOSITORY": "me/kernels",
            "PULL_REQUEST": "7",
            "OUTCOME": outcome,
        },
    )
    return (place / "calls.txt").read_text(encoding="utf-8").splitlines()[1:]


@pytest.mark.parametrize(
    ("outcome", "found", "call"),
    [
        ("fail", "", ["api --method POST repos/me/kernels/issues/7/comments"]),
        ("fail", "42\n43\n", ["api --method PATCH repos/me/kernels/issues/comments/42"]),
        ("pass", "42\n", ["api --method PATCH repos/me/kernels/issues/comments/42"]),
        ("pass", "", []),
    ],
)
def test_there_is_one_comment_and_none_about_nothing(tmp_path, outcome, found, call):
    calls = comment(tmp_path, outcome=outcome, found=found)

    assert calls == [f"{one} --field body=@attnbench-gate/comment.md" for one in call]
