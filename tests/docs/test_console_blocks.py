"""Every console block of README.md and docs/*.md is run, and prints what the page says it prints.

A page runs from top to bottom in one shell, so that a block may use what an earlier one made. A
line that begins with ``$ `` is a command (a backslash at its end continues it), the lines after it
are its output, both streams as a terminal shows them. In there ``...`` stands for anything: any
number of lines where it is a line, any text where it is in one.

An HTML comment before a fence says what is special about it::

    <!-- not run: it needs a GPU -->     the block is left out, and its reason is in the report
    <!-- file: my_attn.py -->            the block, of any language, is written to this file

Blocks of other languages, installation in ```bash above all, are for reading.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted(ROOT.glob("docs/*.md"))]
TIME_LIMIT_S = 600
END_OF_STEP = "<end of step>"
FENCE = re.compile(
    r"(?:^<!-- (?P<key>not run|file): (?P<value>.+?) -->\n+)?"
    r"^```(?P<language>[\w-]*)\n(?P<body>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)


@dataclass(frozen=True)
class Step:
    """One command of a page, the line it stands on and the output it promises."""

    line: int
    command: str
    expected: str


@dataclass(frozen=True)
class LeftOut:
    """A block that is not run, the line it stands on and why."""

    line: int
    reason: str


def read_page(text):
    """Return the steps of a page in order, and the blocks that it leaves out."""
    steps: list[Step] = []
    left_out: list[LeftOut] = []
    for fence in FENCE.finditer(text):
        line = text.count("\n", 0, fence.start("body")) + 1
        if fence["key"] == "file":
            path, content = shlex.quote(fence["value"]), shlex.quote(fence["body"])
            steps.append(Step(line, f"printf %s {content} > {path}", ""))
        elif fence["language"] == "console" and fence["key"] == "not run":
            left_out.append(LeftOut(line, fence["value"]))
        elif fence["language"] == "console":
            steps += read_block(fence["body"], line)
    return steps, left_out


def read_block(body, line):
    """Return the steps of one console block whose first line is this line of the page."""
    steps = []
    for part in re.split(r"^(?=\$ )", body, flags=re.MULTILINE):
        if match := re.fullmatch(r"\$ ((?:[^\n]*\\\n)*[^\n]*\n)(.*)", part, re.DOTALL):
            steps.append(Step(line, match[1].rstrip("\n"), match[2]))
        line += part.count("\n")
    return steps


def run_steps(steps, folder):
    """Run the steps in one shell inside the folder and return what each printed."""
    # $? is handed on past the mark, so that a page may show an exit code with `echo $?`.
    mark = f"__status=$?; printf '\\n%s\\n' {shlex.quote(END_OF_STEP)}; (exit $__status)"
    done = subprocess.run(
        ["bash", "-c", "\n".join(f"{step.command}\n{mark}" for step in steps)],
        cwd=folder,
        env={
            **os.environ,
            "COLUMNS": "100",
            "NO_COLOR": "1",
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
        },
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=TIME_LIMIT_S,
    )
    printed = done.stdout.split(f"\n{END_OF_STEP}\n")
    return [*printed[: len(steps)], *[""] * (len(steps) - len(printed))]


def agrees(expected, printed):
    """Whether the text is what was promised, blanks at line ends and outer empty lines apart."""
    pattern = "".join(
        r"(?:.*\n)*?" if line == "..." else line_pattern(line) + r"\n" for line in tidy(expected)
    )
    return re.fullmatch(pattern, "".join(f"{line}\n" for line in tidy(printed))) is not None


def line_pattern(line):
    return r"[^\n]*".join(re.escape(part) for part in line.split("..."))


def tidy(text):
    lines = [line.rstrip() for line in text.splitlines()]
    while lines and not lines[-1]:
        lines.pop()
    while lines and not lines[0]:
        lines.pop(0)
    return lines


@pytest.fixture
def folder(tmp_path):
    """A working folder as a clone has it: the suites and the committed runs, none of one's own."""
    committed = [path for path in ROOT.glob("results/*") if path.is_dir()]
    for source in (ROOT / "suites", *committed):
        shutil.copytree(source, tmp_path / source.relative_to(ROOT))
    return tmp_path


@pytest.mark.torch
@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_a_page_prints_what_it_says(page, folder):
    steps, _ = read_page(page.read_text(encoding="utf-8"))

    faults = [
        f"{page.name}:{step.line}: $ {step.command}\n"
        f"--- the page says\n{step.expected}\n--- printed\n{printed}"
        for step, printed in zip(steps, run_steps(steps, folder), strict=True)
        if not agrees(step.expected, printed)
    ]

    assert not faults, "\n\n".join(faults)


@pytest.mark.parametrize(
    ("page", "block"),
    [
        pytest.param(page, block, id=f"{page.name}:{block.line}")
        for page in PAGES
        for block in read_page(page.read_text(encoding="utf-8"))[1]
    ],
)
def test_a_block_that_is_not_run_says_why(page, block):
    pytest.skip(f"{page.name}:{block.line} not run: {block.reason}")


def test_the_readme_and_the_ci_give_the_same_test_command():
    command = (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()[-1]

    assert command in (ROOT / "README.md").read_text(encoding="utf-8")


PAGE = """
<!-- file: a b.txt -->

```yaml
- it's
```
```bash
rm -rf /
```
```console
$ cat 'a b.txt' \\
    missing
- it's
cat: missing...
$ echo $?
1
$ true
```
<!-- not run: it needs a GPU -->
```console
$ nvidia-smi
```
"""


def test_a_page_is_read_into_steps_with_their_lines():
    steps, left_out = read_page(PAGE)

    assert [step.line for step in steps] == [5, 11, 15, 17]
    assert steps[1].command == "cat 'a b.txt' \\\n    missing"
    assert steps[1].expected == "- it's\ncat: missing...\n"
    assert left_out == [LeftOut(21, "it needs a GPU")]


def test_the_steps_of_a_page_share_a_shell_and_its_exit_code(tmp_path):
    steps, _ = read_page(PAGE)

    printed = run_steps(steps, tmp_path)

    assert all(agrees(step.expected, text) for step, text in zip(steps, printed, strict=True))


def test_a_shell_that_ends_early_leaves_the_rest_empty(tmp_path):
    steps = [Step(1, "exit 3", ""), Step(2, "echo never", "never\n")]

    assert run_steps(steps, tmp_path) == ["", ""]


@pytest.mark.parametrize(
    ("expected", "printed", "same"),
    [
        ("a\n", "a  \n\n", True),
        ("a\n", "a\nb\n", False),
        ("", "unannounced\n", False),
        ("took ... s\n", "took 1.5 s\n", True),
        ("took ... s\n", "took 1.5\n2 s\n", False),
        ("a\n...\nd\n", "a\nb\nc\nd\n", True),
        ("a\n...\nd\n", "a\nd\n", True),
        ("a\n...\n", "", False),
        ("[k=1] (x)\n", "[k=1] (x)\n", True),
    ],
)
def test_an_ellipsis_stands_for_text_in_a_line_or_for_lines(expected, printed, same):
    assert agrees(expected, printed) is same
