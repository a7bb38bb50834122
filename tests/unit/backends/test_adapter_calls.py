"""Every call of an adapter into its library, held against the recorded signatures.

No library is imported: adapters and records are read as text. A call is found by what an adapter
imports (``from flash_attn import flash_attn_func``) and by what it makes of it (``wrapper =
flashinfer.X(…)``, ``self.graph = cudnn.pygraph(…)``), whose methods are then known by that name.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import json
from pathlib import Path

import pytest

from attnbench.registry import BUILT_INS

ROOT = Path(__file__).parents[3]
PACKAGE = ROOT / "attnbench" / "backends"
RECORDS = {path.stem.rpartition("-")[0]: path for path in (ROOT / "adapters").glob("*.json")}
KINDS = {kind.name.lower(): kind for kind in inspect._ParameterKind}
NAMED = {"symbol": "cudnn.tensor"}  # what a graph's methods return


def callables_of(name):
    return json.loads(RECORDS[name].read_text(encoding="utf-8"))["callables"]


def faults(source, callables):
    """Say what is wrong with the calls into a library, and which of it were seen."""
    tree = ast.parse(source)
    names = imported(tree)
    everywhere = dict(NAMED) | made_in(tree, names, callables, ast.Attribute)
    libraries = {name.partition(".")[0] for name in callables}
    found, seen = [], set()
    for scope in tree.body:
        made = everywhere | made_in(scope, names, callables, ast.Name)
        for node in ast.walk(scope):
            whole = written(node.func, names, made) if isinstance(node, ast.Call) else None
            if whole in callables:
                seen.add(whole)
                found += [f"{whole}: {one}" for one in call_faults(node, callables[whole], tree)]
            elif whole is not None and whole.partition(".")[0] in libraries:
                found.append(f"{whole} is called and not recorded")
    return found, seen


def made_in(scope, names, callables, kind):
    """Names (or attributes) that are assigned what a recorded class makes."""
    return {
        last_name(target): written(node.value.func, names, {})
        for node in ast.walk(scope)
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call)
        for target in node.targets
        if isinstance(target, kind) and written(node.value.func, names, {}) in callables
    }


def imported(tree):
    """What an adapter imports: ``flash_attn_func`` is ``flash_attn.flash_attn_func``."""
    names = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.level == 0:
            names |= {one.asname or one.name: f"{node.module}.{one.name}" for one in node.names}
        elif isinstance(node, ast.Import):
            names |= {one.asname or one.name: one.name for one in node.names}
    return names


def last_name(node):
    return node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")


def written(node, names, made):
    """The library's name for what is called; None where it is nobody's that we know."""
    if isinstance(node, ast.Name):
        return names.get(node.id)
    if not isinstance(node, ast.Attribute):
        return None
    holder = node.value
    # a.b().c(): cudnn's setters return their tensor.
    while isinstance(holder, ast.Call) and isinstance(holder.func, ast.Attribute):
        holder = holder.func.value
    if last_name(holder) in made:
        return f"{made[last_name(holder)]}.{node.attr}"
    outer = written(holder, names, made)
    return None if outer is None else f"{outer}.{node.attr}"


def call_faults(call, recorded, tree):
    """Bind a call as Python would; ``**scores`` is looked up in the function that makes it."""
    parameters = [
        inspect.Parameter(
            one["name"], KINDS[one["kind"]], default=one.get("default", inspect.Parameter.empty)
        )
        for one in recorded["parameters"]
    ]
    positional = len([one for one in call.args if not isinstance(one, ast.Starred)])
    keywords = []
    for one in call.keywords:
        if one.arg is not None:
            keywords.append(one.arg)
            continue
        inside = keys_of(one.value, tree)
        if inside is None:
            yield f"**{ast.unparse(one.value)} cannot be read"
            return
        keywords += inside
    open_ended = {one.kind for one in parameters}
    names = [one.name for one in parameters if "var" not in one.kind.name.lower()]
    plain = [one.name for one in parameters if one.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD]
    if inspect.Parameter.VAR_KEYWORD not in open_ended:
        yield from (f"no parameter {one!r}" for one in keywords if one not in names)
    if inspect.Parameter.VAR_POSITIONAL not in open_ended and positional > len(plain):
        yield f"{positional} positional arguments for {len(plain)} parameters"
    yield from (f"{one!r} is given twice" for one in plain[:positional] if one in keywords)
    needed = {one.name for one in parameters if one.default is one.empty and one.name in names}
    given = {*plain[:positional], *keywords}
    yield from (f"{one!r} is missing" for one in sorted(needed - given))


def keys_of(node, tree):
    """Keys of a dict that is written out, in a variable, or in what a function returns."""
    if isinstance(node, ast.Dict):
        keys = []
        for key, value in zip(node.keys, node.values, strict=True):
            inside = keys_of(value, tree) if key is None else [key.value]
            if inside is None:
                return None
            keys += inside
        return keys
    if isinstance(node, ast.Call):
        called = last_name(node.func)
        for one in ast.walk(tree):
            if isinstance(one, ast.FunctionDef) and one.name == called:
                returns = [r.value for r in ast.walk(one) if isinstance(r, ast.Return)]
                return keys_of(returns[-1], tree)
        return None
    if isinstance(node, ast.Name):
        values = [
            one.value
            for one in ast.walk(tree)
            if isinstance(one, ast.Assign) and last_name(one.targets[0]) == node.id
        ]
        return keys_of(values[-1], tree) if values else None
    return None


@pytest.mark.parametrize("name", sorted(RECORDS))
def test_every_call_into_a_library_fits_its_recorded_signature(name):
    source = (PACKAGE / f"{name}.py").read_text(encoding="utf-8")
    callables = callables_of(name)

    found, seen = faults(source, callables)

    assert found == []
    assert seen == set(callables), "recorded and not called"


@pytest.mark.parametrize("name", sorted(RECORDS))
def test_the_record_is_of_the_version_that_the_adapter_names(name):
    record = json.loads(RECORDS[name].read_text(encoding="utf-8"))
    library = importlib.import_module(BUILT_INS[name]).library

    assert record["version"] == library.checked
    assert RECORDS[name].name == f"{name}-{library.checked}.json"


def test_every_adapter_has_a_record():
    modules = {name: importlib.import_module(module) for name, module in BUILT_INS.items()}

    assert {name for name, one in modules.items() if hasattr(one, "library")} == set(RECORDS)


@pytest.mark.parametrize("name", sorted(RECORDS))
def test_the_docs_name_the_same_library_version_and_install_line(name):
    library = importlib.import_module(BUILT_INS[name]).library
    page = (ROOT / "docs" / "backends.md").read_text(encoding="utf-8")
    (row,) = [one for one in page.splitlines() if one.startswith(f"| `{name}` | ")]

    cells = [one.strip().strip("`") for one in row.split("|")[1:-1]]
    assert cells == [name, library.distribution, library.checked, library.install]


GOOD = """
def prepare(inputs):
    from flash_attn import flash_attn_func
    shared = {"causal": True}
    return flash_attn_func(inputs.q, inputs.k, inputs.v, softmax_scale=1.0, **shared)
"""


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("softmax_scale=", "sm_scale=", "no parameter 'sm_scale'"),
        ('"causal"', '"is_causal"', "no parameter 'is_causal'"),
        ("inputs.v,", "v=inputs.v, k=inputs.k,", "'k' is given twice"),
        ("inputs.k, inputs.v,", "inputs.k,", "'v' is missing"),
        ("softmax_scale=1.0", ", ".join("0" * 9), "12 positional arguments for 11 parameters"),
        ("**shared", "**inputs.more", "**inputs.more cannot be read"),
        ("import flash_attn_func", "import flash_attn_quick as flash_attn_func", "not recorded"),
    ],
)
def test_a_wrong_call_would_be_found(old, new, fault):
    callables = callables_of("flash_attn")
    assert faults(GOOD, callables) == ([], {"flash_attn.flash_attn_func"})
    assert old in GOOD

    found, _ = faults(GOOD.replace(old, new), callables)

    assert any(fault in one for one in found), found


def test_a_wrong_name_planted_in_an_adapter_is_found():
    source = (PACKAGE / "flashinfer.py").read_text(encoding="utf-8")
    callables = callables_of("flashinfer")
    for old, new in (("logits_soft_cap=", "logits_softcap="), ("lse_base=", "lse_of_base=")):
        assert old in source
        found, _ = faults(source.replace(old, new), callables)
        assert any(f"no parameter {new[:-1]!r}" in one for one in found), found
