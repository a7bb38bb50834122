"""The command ``attnbench``: finds the verb, runs it, and turns exceptions into exit codes.

A verb's module is imported only when the verb is called, so that ``attnbench --help`` costs no more
than click itself.
"""

from __future__ import annotations

import importlib
import secrets
import shlex
import sys
import tempfile
import traceback
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import click

from attnbench.cli import exit_codes
from attnbench.cli.streams import guarded_stdio
from attnbench.errors import AttnbenchError

# The verbs in the order of the help. Each is a module of this package with a ``command``, unless
# _SHARED says otherwise.
VERBS = {
    "run": "measure a suite",
    "plan": "predict what a run would do, without torch or a GPU",
    "check": "check a suite file and every case's output, without timing",
    "list": "list backends, suites, models, metrics, devices or runs",
    "show": "show one run as a table, or one case in full",
    "compare": "compare runs case by case, or backends inside a run",
    "ab": "interleave two versions and decide whether the new one is slower",
    "gate": "fail a build on slowdowns against stored baselines",
    "advise": "say which backend to use for which shapes",
    "baseline": "accept a change on purpose, with a reason",
    "report": "write runs as one HTML file that opens offline",
    "profile": "run one case under torch's profiler, ncu or proton",
    "inspect": "compile a backend's Triton kernels without a GPU",
    "tune": "measure other tiles of a Triton backend, and keep the fastest",
    "export": "write a run in the format of another tool",
    "doctor": "check this machine and say what to do",
    "init": "write a suite to start from",
    "schema": "print the JSON schema of suite files, for an editor",
    "repair": "rebuild a result file from its journal",
    "merge": "join result files into one",
}
_SHARED = {
    "baseline": ("gate", "baseline_command"),
    "export": ("files", "export_command"),
    "merge": ("files", "merge_command"),
    "repair": ("files", "repair_command"),
    "init": ("suites", "init_command"),
    "schema": ("suites", "schema_command"),
}
WELCOME = """\
attnbench measures attention backends: latency, memory and bandwidth, with checked outputs.
  attnbench run            measure the built-in quick suite (under a minute)
  attnbench run SUITE      measure a suite                attnbench init    write a suite
  attnbench plan SUITE     predict what a run would do    attnbench list    suites, backends, …
  attnbench show           show the newest run            attnbench compare compare two runs
  attnbench gate           fail a CI job on a slowdown    attnbench doctor  check this machine
"""


class VerbGroup(click.Group):
    """A group of verbs that imports a verb's module only when the verb is named."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Name the verbs in the order of the help."""
        del ctx
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a verb."""
        del ctx
        if cmd_name not in VERBS:
            return None
        place, name = _SHARED.get(cmd_name, (cmd_name, "command"))
        module = importlib.import_module(f"attnbench.cli.{place}")
        return cast("click.Command", getattr(module, name))

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the verb, or suggest the nearest one."""
        if args and not args[0].startswith("-") and args[0] not in VERBS:
            raise click.UsageError(f"no such command {args[0]!r}{nearest(args[0], VERBS)}", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the verbs without importing them."""
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl(list(VERBS.items()))


def _print_version(ctx: click.Context, _: click.Parameter, value: bool) -> None:
    if value and not ctx.resilient_parsing:
        from attnbench import __version__

        click.echo(f"attnbench {__version__}")
        ctx.exit()


@click.group(
    cls=VerbGroup,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Exit codes: 0 done, 1 a case is bad or the gate failed, 2 wrong input, 3 inconclusive, "
    "4 this machine cannot, 5 nothing selected, 70 a bug, 130 interrupted.",
)
@click.option("--version", is_flag=True, is_eager=True, expose_value=False, callback=_print_version)
@click.pass_context
def cli(ctx: click.Context) -> None:
    """Measure attention backends; see what ran, how fast, and whether it was right."""
    if ctx.invoked_subcommand is None:
        click.echo(WELCOME, nl=False)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    with guarded_stdio() as losses:
        code = _exit_code(None if argv is None else list(argv))
        lost = losses.error()
        if lost is None:
            return code
        return exit_codes.highest((code, _say(str(lost), lost.exit_code)))


def _exit_code(argv: list[str] | None) -> int:
    try:
        with _plain_warnings():
            result = cli.main(argv, prog_name="attnbench", standalone_mode=False)
        return result if isinstance(result, int) else exit_codes.DONE
    except click.ClickException as error:
        return _say(usage_text(error), exit_codes.INPUT)
    except AttnbenchError as error:
        return _say(str(error), error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        return _say("interrupted", exit_codes.INTERRUPTED)
    except Exception as error:  # noqa: BLE001  anything else is a bug of ours
        return _say(_bug_text(error), exit_codes.BUG)


def usage_text(error: click.ClickException) -> str:
    """Say what was typed wrong, and suggest the nearest word."""
    message = error.format_message().rstrip(".")
    if isinstance(error, click.NoSuchOption):
        known = [] if error.ctx is None else _options(error.ctx)
        message = f"no such option {error.option_name}{nearest(error.option_name, known)}"
    message = message[:1].lower() + message[1:]
    ctx = getattr(error, "ctx", None)
    if ctx is not None and ctx.command_path:
        message += f"\n  {ctx.command_path} --help shows the options"
    return message


def nearest(word: str, known: Iterable[str]) -> str:
    """Return ``, did you mean 'x'?`` or nothing."""
    from attnbench.filter import did_you_mean

    advice = did_you_mean(word, known)
    return f", {advice}" if advice else ""


def _options(ctx: click.Context) -> list[str]:
    return [name for parameter in ctx.command.get_params(ctx) for name in parameter.opts]


def _say(text: str, code: int) -> int:
    # The errors of a suite file begin so already, each with its place.
    click.echo(text if text.startswith("error: ") else f"error: {text}", err=True)
    return code


def _bug_text(error: BaseException) -> str:
    """Write the traceback to a file and name it; if that fails, print it."""
    from attnbench.store.atomic import write_text

    trace = "".join(traceback.format_exception(error))
    first_line = str(error).partition("\n")[0]
    what = f"a bug in attnbench: {type(error).__name__}: {first_line}"
    path = Path(tempfile.gettempdir()) / f"attnbench-bug-{secrets.token_hex(4)}.txt"
    try:
        write_text(path, f"attnbench {shlex.join(sys.argv[1:])}\n\n{trace}")
    except AttnbenchError:
        return f"{what}\n{trace}"
    return f"{what}\n  the traceback is in {path}: please attach it to a bug report"


@contextmanager
def _plain_warnings() -> Iterator[None]:
    """Print warnings as one line, without the place in the code that raised them."""

    def show(message: Warning | str, *_: Any, **__: Any) -> None:
        click.echo(f"warning: {message}", err=True)

    with warnings.catch_warnings():
        warnings.showwarning = show
        yield
