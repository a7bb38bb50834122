"""``attnbench init``: a suite to start from."""

from __future__ import annotations

from pathlib import Path

import click

from attnbench.cli import exit_codes, options

_SCHEMA = "suite.schema.json"


@click.command("init")
@click.argument("file", required=False, default="suite.yaml", type=options.FILE)
def command(file: Path) -> int:
    """Write a small suite to FILE (suite.yaml), and its schema for the editor beside it."""
    from attnbench.errors import NameTakenError
    from attnbench.store.atomic import write_text
    from attnbench.suite.init import schema_text, starter_text

    if file.exists():
        raise NameTakenError(f"{file} exists already", hint="give another name")
    write_text(file, starter_text(file.stem))
    schema = file.with_name(_SCHEMA)
    if not schema.exists():
        write_text(schema, schema_text())
    click.echo(f"wrote {file}; try: attnbench plan {file}", err=True)
    return exit_codes.DONE
