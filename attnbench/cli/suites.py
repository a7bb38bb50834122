"""``attnbench init`` and ``schema``: a suite to start from, and what an editor needs."""

from __future__ import annotations

from pathlib import Path

import click

from attnbench.cli import exit_codes, options

_SCHEMA = "suite.schema.json"


@click.command("init")
@click.argument("file", required=False, default="suite.yaml", type=options.FILE)
def init_command(file: Path) -> int:
    """Write a small suite to FILE (suite.yaml), with its JSON schema beside it."""
    from attnbench.errors import NameTakenError
    from attnbench.store.atomic import write_text
    from attnbench.suite.schema import schema_text
    from attnbench.suite.shipped import starter_text

    if file.exists():
        raise NameTakenError(f"{file} already exists", hint="choose another name")
    write_text(file, starter_text(file.stem))
    schema = file.with_name(_SCHEMA)
    if not schema.exists():
        write_text(schema, schema_text())
    click.echo(f"wrote {file}; try: attnbench plan {file}", err=True)
    return exit_codes.DONE


@click.command("schema")
def schema_command() -> int:
    """Print the JSON schema of suite files.

    Save it as suite.schema.json beside a suite, and editors complete and check the file.
    """
    from attnbench.suite.schema import schema_text

    click.echo(schema_text().rstrip())
    return exit_codes.DONE
