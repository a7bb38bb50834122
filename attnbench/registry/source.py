"""Reading a backend's source as text: its sentence, its options, what it lacks.

::

    def prepare(inputs, *, kernel: Literal["auto", "flash"] = "auto", upcast: bool = False): ...

has the options kernel (one of two words) and upcast. Defaults are literals; choices are a
``Literal[...]``, bare, quoted, in a union with None, or under a name of the module's own.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from attnbench.case import type_of_option
from attnbench.errors import InputError
from attnbench.plugin import OptionSpec

NEEDED = ("capabilities", "prepare")


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """What the text of a backend says: the docstring's first line, and prepare's keywords."""

    about: str = ""
    options: Mapping[str, OptionSpec] = field(default_factory=dict)


def read_source(path: Path) -> Source:
    """Read a backend's module without importing it.

    Raises:
        InputError: not Python, no prepare or no capabilities, or an option without a plain default.

    """
    tree = _parse(path)
    bound = dict(_bindings(tree.body))
    for name in NEEDED:
        if name not in bound:
            raise InputError(
                f"{path}:1: no {name}; a backend is a module with capabilities and prepare",
                hint="docs/backends.md shows one of 14 lines",
            )
    prepare = bound["prepare"]
    options: dict[str, OptionSpec] = {}
    if isinstance(prepare, ast.FunctionDef | ast.AsyncFunctionDef):
        options = {one.name: one for one in _options(prepare, bound, path)}
    lines = (ast.get_docstring(tree) or "").splitlines()
    return Source(about=lines[0] if lines else "", options=options)


def _parse(path: Path) -> ast.Module:
    try:
        return ast.parse(path.read_bytes(), filename=str(path))
    except SyntaxError as error:
        raise InputError(f"{path}:{error.lineno}: this is not Python: {error.msg}") from error
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read: {error}") from error


def _bindings(body: list[ast.stmt]) -> Iterator[tuple[str, ast.AST]]:
    """Names that a module binds at its top (under an if or a try too), with their values."""
    for node in body:
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                yield node.name, node
            case ast.Import() | ast.ImportFrom():
                yield from ((alias.asname or alias.name, node) for alias in node.names)
            case ast.Assign():
                names = (one.id for one in node.targets if isinstance(one, ast.Name))
                yield from ((name, node.value) for name in names)
            case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value):
                yield name, value
            case _:
                for block in ("body", "orelse", "finalbody", "handlers"):
                    yield from _bindings(getattr(node, block, []))


def _options(
    prepare: ast.FunctionDef | ast.AsyncFunctionDef, bound: Mapping[str, ast.AST], path: Path
) -> Iterator[OptionSpec]:
    arguments = prepare.args
    for argument, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True):
        place = f"{path}:{argument.lineno}: option {argument.arg}"
        if default is None:
            raise InputError(f"{place} has no default", hint="write name: type = value")
        try:
            value = ast.literal_eval(default)
        except ValueError:
            value = ...
        if value is not None and not isinstance(value, bool | int | float | str):
            raise InputError(
                f"{place} has the default {ast.unparse(default)}",
                hint="a default is true, false, None, a number or a word, written out",
            )
        yield OptionSpec(
            name=argument.arg, default=value, choices=_choices(argument.annotation, bound)
        )


def _choices(
    annotation: ast.AST | None, bound: Mapping[str, ast.AST]
) -> tuple[type_of_option, ...] | None:
    """Words of a ``Literal[...]`` annotation; None where it names none."""
    members = list(_members(annotation, bound))
    literals = [one for one in members if isinstance(one, ast.Subscript)]
    if not literals or any(not _is_literal(one) and not _is_none(one) for one in members):
        return None
    words: list[type_of_option] = []
    for one in literals:
        inside = one.slice.elts if isinstance(one.slice, ast.Tuple) else [one.slice]
        words += [word.value for word in inside if isinstance(word, ast.Constant)]  # type: ignore[misc]
    return tuple(words) + ((None,) if any(map(_is_none, members)) else ())


def _members(annotation: ast.AST | None, bound: Mapping[str, ast.AST]) -> Iterator[ast.AST]:
    """Members of a union, quotation marks and the module's own names seen through."""
    if isinstance(annotation, ast.Constant) and isinstance(annotation.value, str):
        try:
            annotation = ast.parse(annotation.value, mode="eval").body
        except SyntaxError:
            return
    if isinstance(annotation, ast.BinOp):
        yield from _members(annotation.left, bound)
        yield from _members(annotation.right, bound)
    elif isinstance(annotation, ast.Subscript) and _last_name(annotation.value) == "Optional":
        yield from _members(annotation.slice, bound)
        yield ast.Constant(None)
    elif isinstance(annotation, ast.Name) and isinstance(bound.get(annotation.id), ast.Subscript):
        yield from _members(bound[annotation.id], {})
    elif annotation is not None:
        yield annotation


def _is_literal(node: ast.AST) -> bool:
    return isinstance(node, ast.Subscript) and _last_name(node.value) == "Literal"


def _is_none(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and node.value is None


def _last_name(node: ast.AST) -> str:
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""
