"""A workflow command of GitHub Actions: a line of a log that GitHub reads.

The format: https://docs.github.com/actions/reference/workflows-and-actions/workflow-commands.
"""

from __future__ import annotations


def command(name: str, message: str = "", **properties: str) -> str:
    """Write one workflow command; what would end it early is escaped."""
    named = ",".join(f"{key}={_property(value)}" for key, value in properties.items())
    return f"::{name}{f' {named}' if named else ''}::{_data(message)}"


def _data(text: str) -> str:
    plain = "".join(one for one in text if one.isprintable() or one in "\r\n")
    return plain.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
