"""The shape of a suite file, as pydantic models made from the tables of ``fields``.

``shape_of`` validates a source: it reports every error with its place, and returns the sections
that have none. The models also make the JSON schema for editors.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from types import GenericAlias
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, create_model
from pydantic.json_schema import WithJsonSchema
from pydantic_core import PydanticCustomError

from attnbench.filter import did_you_mean
from attnbench.models import MODELS
from attnbench.suite.diagnostics import Diagnostic
from attnbench.suite.fields import (
    FIGURES,
    GATE,
    LIMIT,
    MEASURE,
    MEASURE_LISTS,
    PROBLEM,
    PUBLISHED,
    FieldSpec,
    ValueFault,
    scalar,
    text,
    whole,
)
from attnbench.suite.source import KeyPath, Source

_DRAFT = "http://json-schema.org/draft-07/schema#"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
_SCALAR_SCHEMA = {"type": ["string", "number", "boolean", "null"]}
_LARGEST_POWER = 40

# Readers of what is more than a single value ------------------------------------------------------


def _axis(name: str, value: Any) -> Any:
    """Write out ``{pow2: [1k, 64k]}``; both ends are included."""
    if not isinstance(value, dict):
        if not isinstance(value, list):
            raise ValueFault(f"the axis {name} is a list of values", "write [ ] around them")
        if not value:
            raise ValueFault(f"the axis {name} has no value")
        return value
    ends = value.get("pow2")
    if set(value) != {"pow2"} or not isinstance(ends, list) or len(ends) != 2:  # noqa: PLR2004
        raise ValueFault(f"the axis {name} is a list, or pow2 with both ends", "{pow2: [1k, 64k]}")
    low, high = (whole(1)(f"pow2 of {name}", end) for end in ends)
    for end in (low, high):
        if end & (end - 1):
            raise ValueFault(f"pow2 goes from one power of two to another; {end} is none")
    if low > high:
        raise ValueFault(f"pow2 goes upwards; {low} is more than {high}", f"[{high}, {low}]")
    if high > 1 << _LARGEST_POWER:
        raise ValueFault(f"pow2 ends at 2^{_LARGEST_POWER} at most")
    return [1 << power for power in range(low.bit_length() - 1, high.bit_length())]


def _tied(value: Any) -> Any:
    """Read an axis that ties fields: it has at least one map."""
    if value == []:
        raise ValueFault("this axis has no value")
    return value


def _scalars(value: Any) -> Any:
    """Read one value or a list of them."""
    if isinstance(value, dict) or value == []:
        raise ValueFault("a value, or a list of values, stands here")
    for one in value if isinstance(value, list) else [value]:
        scalar("a list here", one)
    return value


def _as_list(value: Any) -> Any:
    """Read a word as a list of one."""
    if value == []:
        raise ValueFault("this list has no value")
    return value if isinstance(value, list) else [value]


def _suite_name(value: Any) -> Any:
    """Read a suite's name, which becomes part of file names."""
    name = text("suite", value)
    if not _NAME.fullmatch(name):
        raise ValueFault(f"suite {name!r} is no name", "letters, digits, _ . and - only")
    return name


# Types --------------------------------------------------------------------------------------------


def _guarded(read: Callable[[Any], Any], value: Any) -> Any:
    """Call a reader; its fault travels through pydantic as message and advice."""
    try:
        return read(value)
    except ValueFault as fault:
        context = {"message": fault.message, "advice": fault.advice}
        raise PydanticCustomError("leaf", "{message}", context) from None


def _checked(read: Callable[[Any], Any], schema: Any, kind: Any = Any) -> Any:
    before = BeforeValidator(partial(_guarded, read))
    return Annotated[kind, before, WithJsonSchema(dict(schema))]


def _list_of(kind: Any) -> Any:
    return GenericAlias(list, (kind,))


def _map_of(kind: Any) -> Any:
    return GenericAlias(dict, (str, kind))


def _leaf(leaf: FieldSpec) -> Any:
    """Return the type of a single value; a few may also be lists of it."""
    schema: Any = leaf.schema
    if leaf.name == "model":
        schema = {"anyOf": [{"enum": sorted(MODELS)}, {"type": "string", "pattern": "[./]"}]}
    one = _checked(leaf, schema)
    if leaf.name not in MEASURE_LISTS:
        return one
    either = {"anyOf": [dict(schema), {"type": "array", "minItems": 1, "items": dict(schema)}]}
    return _checked(_as_list, either, _list_of(one))


def _axis_of(leaf: FieldSpec) -> Any:
    item = dict(leaf.schema)
    schema: dict[str, Any] = {"type": "array", "minItems": 1, "items": item}
    if "k" in str(item.get("anyOf")):
        pair = {"type": "array", "items": item, "minItems": 2, "maxItems": 2}
        pow2 = {"type": "object", "properties": {"pow2": pair}, "required": ["pow2"]}
        schema = {"anyOf": [schema, {**pow2, "additionalProperties": False}]}
    return _checked(partial(_axis, leaf.name), schema, _list_of(_leaf(leaf)))


def _about(leaf: FieldSpec) -> str:
    return f"{leaf.about} (default: {leaf.default})" if leaf.default else leaf.about


def _model(name: str, fields: dict[str, Any], base: Any = None) -> Any:
    """Make a model whose keys are these and no others (a base may say otherwise)."""
    config = {"__base__": base} if base else {"__config__": ConfigDict(extra="forbid", strict=True)}
    return create_model(name, **config, **fields)


def _keys(table: dict[str, FieldSpec], required: tuple[str, ...] = ()) -> dict[str, Any]:
    return {
        name: (
            _leaf(leaf),
            Field(default=... if name in required else None, description=_about(leaf)),
        )
        for name, leaf in table.items()
    }


# Models -------------------------------------------------------------------------------------------

_TEXT_SCHEMA = {"type": "string", "minLength": 1}
_SCALARS = _checked(
    _scalars, {"anyOf": [_SCALAR_SCHEMA, {"type": "array", "items": _SCALAR_SCHEMA}]}
)
_PROBLEM = _model("Problem", _keys(PROBLEM))
_MEASURE = _model("Measure", _keys(MEASURE))
_LIMIT = _model("Limit", _keys(LIMIT, required=tuple(LIMIT)))
_PUBLISHED = _model("Published", _keys(PUBLISHED, required=("where", "device", "backend")))
_GATE = _model(
    "Gate",
    {
        "limits": (
            _list_of(_LIMIT),
            Field([], description="limits of some cases; the last that matches wins"),
        ),
        **_keys(GATE),
    },
)
_BACKEND = _model(
    "Backend",
    {
        "name": (
            _checked(partial(text, "name"), _TEXT_SCHEMA),
            Field(None, description="instead of the file's own name"),
        ),
        "options": (
            _map_of(_SCALARS),
            Field({}, description="keywords of the backend; a list is swept over"),
        ),
    },
)
_TIED: Any = Annotated[_list_of(_PROBLEM), BeforeValidator(partial(_guarded, _tied))]


class _OpenSweep(BaseModel):
    """Axes multiply, the first outermost; a name that is no field ties fields in a list of maps."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, _TIED]


_SWEEP = _model(
    "Sweep",
    {
        name: (_axis_of(leaf), Field(None, description=_about(leaf)))
        for name, leaf in PROBLEM.items()
    },
    base=_OpenSweep,
)
# key: (type, default, what it means)
_SUITE: dict[str, tuple[Any, Any, str]] = {
    "suite": (
        _checked(_suite_name, {"type": "string", "pattern": f"^{_NAME.pattern}$"}),
        ...,
        "the suite's name, which begins the names of its runs",
    ),
    "about": (_checked(partial(text, "about"), _TEXT_SCHEMA), "", "what it asks, in one line"),
    "tags": (_list_of(_checked(partial(text, "a tag"), _TEXT_SCHEMA)), [], "words to find it by"),
    "source": (
        _checked(partial(text, "source"), _TEXT_SCHEMA),
        None,
        "the paper or project that its shapes are from",
    ),
    "published": (_list_of(_PUBLISHED), [], "figures of others, shown beside ours"),
    "problem": (_PROBLEM, None, "what all cases have in common"),
    "sweep": (_SWEEP, None, "what is varied: the product of the axes, in this order"),
    "exclude": (
        _list_of(_map_of(_SCALARS)),
        [],
        "maps; a case that matches every key of one is left out",
    ),
    "backends": (_map_of(_BACKEND | None), ..., "what is measured: a name or ./file.py"),
    "baseline": (
        _checked(partial(text, "baseline"), _TEXT_SCHEMA),
        None,
        "the label that speed-ups are against",
    ),
    "measure": (_MEASURE, None, "how it is measured"),
    "gate": (_GATE, None, "how much slower is too slow"),
}
TOP_KEYS: dict[str, str] = {name: about for name, (_, _, about) in _SUITE.items()}
SuiteModel: Any = _model(
    "Suite",
    {
        name: (kind, Field(default, description=about))
        for name, (kind, default, about) in _SUITE.items()
    },
)


def schema_text() -> str:
    """Return the JSON schema (draft 07) of a suite file, for editors."""
    schema = SuiteModel.model_json_schema(ref_template="#/definitions/{model}")
    schema["definitions"] = schema.pop("$defs")
    body = {"$schema": _DRAFT, **_draft_07(schema)}
    return json.dumps(body, indent=2, ensure_ascii=False) + "\n"


def _draft_07(node: Any) -> Any:
    """Drop titles and empty defaults; give a $ref a box, as draft 07 does not see its siblings."""
    if isinstance(node, list):
        return [_draft_07(one) for one in node]
    if not isinstance(node, dict):
        return node
    plain = {
        key: _draft_07(value)
        for key, value in node.items()
        if not (key == "title" and isinstance(value, str)) and not (key == "default" and not value)
    }
    if "$ref" in plain and len(plain) > 1:
        return {**plain, "allOf": [{"$ref": plain.pop("$ref")}]}
    return plain


# The keys of each map, by its path without the names that an author chooses.
_KEYS: dict[KeyPath, tuple[str, ...]] = {
    (): tuple(TOP_KEYS),
    ("problem",): tuple(PROBLEM),
    ("sweep",): tuple(PROBLEM),
    ("backends",): ("name", "options"),
    ("measure",): tuple(MEASURE),
    ("gate",): ("limits", *GATE),
    ("gate", "limits"): tuple(LIMIT),
    ("published",): tuple(PUBLISHED),
}
# Keys that were renamed: the map, the old name and the new one.
_RENAMED: dict[tuple[KeyPath, str], str] = {
    (("measure",), "launches"): "processes",
    (("gate",), "min_launches"): "min_processes",
}
_KINDS = {
    "model_type": "a map of keys and values",
    "dict_type": "a map of keys and values",
    "list_type": "a list",
}


@dataclass(frozen=True, slots=True)
class Shape:
    """The sections of a suite as far as they are right; ``faulty`` names those that are not."""

    sections: Mapping[str, Any]
    faulty: frozenset[str]
    faults: tuple[Diagnostic, ...]

    def is_right(self, *sections: str) -> bool:
        """Whether none of these sections has a fault."""
        return not self.faulty.intersection(sections)


def shape_of(source: Source) -> Shape:
    """Validate a suite's values."""
    errors = _errors(source.data)
    faulty = frozenset(str(loc[0]) for loc, _, _ in errors if loc)
    left = {key: value for key, value in source.data.items() if key not in faulty}
    # What is required and faulty is filled in, so that the rest can be read.
    left = {"suite": "faulty", "backends": {}, **left}
    sections = SuiteModel.model_validate(left).model_dump(exclude_unset=True)
    faults = [_fault(source, *error) for error in errors]
    faults += _empty_figures(source, sections)
    return Shape(sections, faulty, tuple(faults))


def _errors(data: dict[str, Any]) -> list[tuple[KeyPath, str, dict[str, Any]]]:
    """Return (path, kind of error, its details) of everything that is wrong."""
    try:
        SuiteModel.model_validate(data)
    except ValidationError as error:
        found = error.errors(include_url=False)
        return [(one["loc"], one["type"], {**one.get("ctx", {})}) for one in found]
    return []


def _fault(source: Source, path: KeyPath, kind: str, details: dict[str, Any]) -> Diagnostic:
    where = _section(path[:-1])
    if kind == "leaf":
        return Diagnostic(details["message"], source.value_place(path), details["advice"])
    if kind == "missing":
        place = source.key_place(path[:-1])
        return Diagnostic(f"{where} needs the key {path[-1]!r}", place)
    if kind == "extra_forbidden":
        return _unknown_key(source, path, where)
    if _is_unknown_axis(path, source.data):
        return _unknown_key(source, path[:2], "sweep")
    what = _KINDS.get(kind, "something else")
    return Diagnostic(f"{_section(path)} is {what}", source.value_place(path), _how(path))


def _unknown_key(source: Source, path: KeyPath, where: str) -> Diagnostic:
    name = str(path[-1])
    if new_name := _RENAMED.get((path[:-1], name)):
        message = f"{name!r} in {where} was renamed to {new_name!r}"
        return Diagnostic(message, source.key_place(path), f"write {new_name}")
    allowed = keys_allowed(path[:-1])
    named = tuple(key for key in allowed if key != name)
    more = (f"keys allowed here: {', '.join(named)}",) if len(named) < 20 else ()  # noqa: PLR2004
    message = f"unknown key {name!r} in {where}"
    return Diagnostic(message, source.key_place(path), did_you_mean(name, named), more=more)


def keys_allowed(path: KeyPath) -> tuple[str, ...]:
    """Return the keys that a map at this path may have."""
    words = tuple(one for one in path if isinstance(one, str))
    return _KEYS.get(words) or _KEYS.get(words[:1]) or ()


def _is_unknown_axis(path: KeyPath, data: dict[str, Any]) -> bool:
    """Whether this is an axis that no field has the name of, and that ties no fields."""
    if len(path) < 2 or path[0] != "sweep" or path[1] in PROBLEM:  # noqa: PLR2004
        return False
    values = data["sweep"][path[1]]
    return not (isinstance(values, list) and any(isinstance(one, dict) for one in values))


def _section(path: KeyPath) -> str:
    words = [one for one in path if isinstance(one, str)]
    return ".".join(words) if words else "a suite"


def _how(path: KeyPath) -> str:
    """Show how a section is written that is often written otherwise."""
    if path == ("backends",):
        return "write each name as a key: 'sdpa:'"
    if path == ("exclude",):
        return "write - {kv_len: '>=64k'}"
    if path[:1] == ("sweep",) and len(path) > 2:  # noqa: PLR2004
        return "an axis whose name is no field ties fields: - {q_heads: 32, kv_heads: 8}"
    return ""


def _empty_figures(source: Source, sections: Mapping[str, Any]) -> Iterable[Diagnostic]:
    for index, one in enumerate(sections.get("published", ())):
        if not any(one.get(name) is not None for name in FIGURES):
            message = f"a published figure needs one of {', '.join(FIGURES)}"
            yield Diagnostic(message, source.value_place(("published", index)))
