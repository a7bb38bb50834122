"""``attnbench schema``: what an editor needs to know about suite files."""

from __future__ import annotations

import click

from attnbench.cli import exit_codes


@click.command("schema")
def command() -> int:
    """Print the JSON schema of suite files.

    Save it as suite.schema.json beside a suite, and editors complete and check the file.
    """
    from attnbench.suite.schema import schema_text

    click.echo(schema_text().rstrip())
    return exit_codes.DONE
