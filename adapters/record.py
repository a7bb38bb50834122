"""Write down the signatures that the adapters call, from a library's package as PyPI serves it.

    python adapters/record.py [LIBRARY …]

downloads each package by name, without its dependencies, and reads its Python sources as text:
nothing of it is installed and no CUDA is needed. Two things do run: pip asks a source distribution
(flash-attn) for its name through its setup script, which wants torch; and cudnn's graph methods
take any keyword in Python and check it in a compiled module, so that module is imported from the
unpacked wheel, in a process of its own, for the signatures in its docstrings.

The records, ``adapters/LIBRARY-VERSION.json``, are what tests hold the adapters' calls against.
"""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
Parameter = dict[str, str]
_SIGNATURE = re.compile(r"\((.*)\) -> ", re.DOTALL)


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """A package and what is called of it.

    ``callables`` map the name by which an adapter calls something to its file and its name there,
    and the function that its ``**keywords`` go to, if any. ``compiled`` map names to those of a
    compiled module.
    """

    package: str
    callables: Mapping[str, tuple[str, ...]]
    compiled: Mapping[str, str] = field(default_factory=dict)
    flags: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)


def _fi(name: str) -> dict[str, tuple[str, ...]]:
    """The three methods of one of FlashInfer's wrappers."""
    file = f"flashinfer/{'decode' if 'Decode' in name else 'prefill'}.py"
    more = (f"{name}._plan_impl",) if "Decode" in name else ()
    return {
        f"flashinfer.{name}": (file, f"{name}.__init__"),
        f"flashinfer.{name}.plan": (file, f"{name}.plan", *more),
        f"flashinfer.{name}.run": (file, f"{name}.run"),
    }


_FA2 = "flash_attn/flash_attn_interface.py"
_FA3, _FA3_MODULE = "hopper/flash_attn_interface.py", "flash_attn_interface"
_FA4 = "flash_attn/cute/interface.py"
_MLA, _MLA_CLASS = "flashinfer/mla/_batch_mla/_wrapper.py", "BatchMLAPagedAttentionWrapper"
_MLA_METADATA = "flashinfer/mla/_batch_mla/_contracts.py"
_ENTRIES = ("flash_attn_func", "flash_attn_varlen_func", "flash_attn_with_kvcache")
_TENSOR = ("set_output", "set_dim", "set_stride", "set_data_type", "set_ragged_offset")
_GRAPH = ("tensor", "build", "get_workspace_size", "execute")

_AS_SOURCE = ("--no-binary", "flash-attn", "--no-build-isolation")
_NO_CUDA = {"FLASH_ATTENTION_SKIP_CUDA_BUILD": "TRUE"}

LIBRARIES: dict[str, Wanted] = {
    "flash_attn": Wanted(
        package="flash-attn",
        callables={f"flash_attn.{name}": (_FA2, name) for name in _ENTRIES},
        flags=_AS_SOURCE,
        environment=_NO_CUDA,
    ),
    # Not on PyPI by itself: its sources lie in flash-attn's.
    "flash_attn_3": Wanted(
        package="flash-attn",
        callables={f"{_FA3_MODULE}.{name}": (_FA3, name) for name in _ENTRIES},
        flags=_AS_SOURCE,
        environment=_NO_CUDA,
    ),
    "flash_attn_4": Wanted(
        package="flash-attn-4",
        callables={f"flash_attn.cute.{name}": (_FA4, name) for name in _ENTRIES[:2]},
        flags=("--pre",),
    ),
    "flashinfer": Wanted(
        package="flashinfer-python",
        callables={
            **_fi("BatchDecodeWithPagedKVCacheWrapper"),
            **_fi("BatchPrefillWithPagedKVCacheWrapper"),
            **_fi("BatchPrefillWithRaggedKVCacheWrapper"),
            f"flashinfer.mla.{_MLA_CLASS}": (_MLA, f"{_MLA_CLASS}.__init__"),
            f"flashinfer.mla.{_MLA_CLASS}.plan": (_MLA, f"{_MLA_CLASS}.plan"),
            f"flashinfer.mla.{_MLA_CLASS}.run": (_MLA, f"{_MLA_CLASS}.run"),
            "flashinfer.mla.MLAPlanMetadata.csr": (_MLA_METADATA, "MLAPlanMetadata.csr"),
        },
    ),
    "cudnn": Wanted(
        package="nvidia-cudnn-frontend",
        callables={
            "cudnn.create_handle": ("cudnn/__init__.py", "create_handle"),
            "cudnn.set_stream": ("cudnn/__init__.py", "set_stream"),
            "cudnn.pygraph": ("cudnn/_pygraph.py", "pygraph.__init__"),
            **{f"cudnn.pygraph.{one}": ("cudnn/_pygraph.py", f"pygraph.{one}") for one in _GRAPH},
            **{f"cudnn.tensor.{one}": ("cudnn/graph_types.py", f"Tensor.{one}") for one in _TENSOR},
        },
        compiled={
            "cudnn.pygraph.sdpa": "backend_graph.sdpa",
            "cudnn.pygraph.sdpa_backward": "backend_graph.sdpa_backward",
        },
    ),
}


def main(names: list[str]) -> None:
    """Record the libraries of these names, or all."""
    for name in names or list(LIBRARIES):
        wanted = LIBRARIES[name]
        with tempfile.TemporaryDirectory() as folder:
            archive = download(wanted, Path(folder))
            root = unpack(archive, Path(folder) / "unpacked")
            record = record_of(name, wanted, archive.name, root)
        path = HERE / f"{name}-{record['version']}.json"
        for old in HERE.glob(f"{name}-[0-9]*.json"):
            old.unlink()
        path.write_text(written(record), encoding="utf-8")
        print(f"{path.name}: {len(record['callables'])} signatures of {archive.name}")


def written(record: Mapping[str, Any]) -> str:
    """Write a record with a parameter a line, so that a new version is a diff to read."""
    head = {name: one for name, one in record.items() if name != "callables"}
    lines = [f' "{name}": {json.dumps(one)},' for name, one in head.items()]
    callables = []
    for name, one in record["callables"].items():
        parameters = ",\n".join(f"   {json.dumps(each)}" for each in one["parameters"])
        inside = f"[\n{parameters}\n  ]" if parameters else "[]"
        callables.append(
            f'  "{name}": {{"file": {json.dumps(one["file"])}, "parameters": {inside}}}'
        )
    return "\n".join(["{", *lines, ' "callables": {', ",\n".join(callables), " }", "}", ""])


def download(wanted: Wanted, folder: Path) -> Path:
    """Fetch the newest package from PyPI by its name, without its dependencies."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
    command += [*wanted.flags, "--dest", str(folder), wanted.package]
    environment = {**os.environ, **wanted.environment}
    subprocess.run(command, check=True, env=environment)  # noqa: S603  pip, on names from above
    (archive,) = (one for one in folder.iterdir() if one.suffix in (".whl", ".gz"))
    return archive


def unpack(archive: Path, folder: Path) -> Path:
    """Unpack a wheel, or a source distribution without its top folder."""
    if archive.suffix == ".whl":
        zipfile.ZipFile(archive).extractall(folder)  # noqa: S202  zipfile keeps inside the folder
        return folder
    with tarfile.open(archive) as packed:
        packed.extractall(folder, filter="data")
    (top,) = folder.iterdir()
    return top


def record_of(library: str, wanted: Wanted, archive: str, root: Path) -> dict[str, Any]:
    """Read every signature that is wanted of an unpacked package."""
    # Both kinds of archive are called name-version, the name with underscores.
    version = archive.removesuffix(".tar.gz").split("-")[1]
    found = {}
    for name, (file, inside, *forwards) in wanted.callables.items():
        parameters = _parameters(_function(root / file, inside))
        if forwards:
            parameters = [one for one in parameters if not one["kind"].startswith("var_")]
            known = {one["name"] for one in parameters}
            beside = _parameters(_function(root / file, forwards[0]))
            parameters += [one for one in beside if one["name"] not in known]
        found[name] = {"file": file, "parameters": parameters}
    for name, inside in wanted.compiled.items():
        text = _docstring_of_compiled(root, inside)
        found[name] = {"file": f"docstring of {inside}", "parameters": _from_text(text)}
    return {
        "library": library,
        "package": wanted.package,
        "version": version,
        "read_from": archive,
        "made_by": "adapters/record.py",
        "callables": found,
    }


def _function(path: Path, inside: str) -> ast.FunctionDef:
    """The last definition of a name: those before it are overloads."""
    body: list[ast.stmt] = ast.parse(path.read_text(encoding="utf-8")).body
    *outer, last = inside.split(".")
    for name in outer:
        body = next(one.body for one in body if isinstance(one, ast.ClassDef) and one.name == name)
    found = [one for one in body if isinstance(one, ast.FunctionDef) and one.name == last]
    if not found:
        raise ValueError(f"{path} defines no {inside}")
    return found[-1]


def _parameters(function: ast.FunctionDef) -> list[Parameter]:
    """Names, kinds and defaults; self and cls are left out."""
    arguments = function.args
    plain = [*arguments.posonlyargs, *arguments.args]
    defaults = [None] * (len(plain) - len(arguments.defaults)) + list(arguments.defaults)
    found = [
        _parameter(one.arg, "positional_or_keyword", default)
        for one, default in zip(plain, defaults, strict=True)
        if one.arg not in ("self", "cls")
    ]
    if arguments.vararg is not None:
        found.append(_parameter(arguments.vararg.arg, "var_positional", None))
    found += [
        _parameter(one.arg, "keyword_only", default)
        for one, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
    ]
    if arguments.kwarg is not None:
        found.append(_parameter(arguments.kwarg.arg, "var_keyword", None))
    return found


def _parameter(name: str, kind: str, default: ast.expr | None) -> Parameter:
    found = {"name": name, "kind": kind}
    return found if default is None else {**found, "default": ast.unparse(default)}


def _docstring_of_compiled(root: Path, inside: str) -> str:
    """Ask the compiled module in a process of its own; it needs neither torch nor a GPU."""
    program = f"import cudnn; print(cudnn._pybind_module.{inside}.__doc__)"
    done = subprocess.run(  # noqa: S603  our own two lines
        [sys.executable, "-c", program],
        env={"PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


def _from_text(docstring: str) -> list[Parameter]:
    """Read ``name(self, q: cudnn.tensor, scale: object | None = None) -> …`` as pybind11 writes."""
    match = _SIGNATURE.search(docstring.partition("\n\n")[0])
    if match is None:
        raise ValueError(f"no signature in {docstring[:80]!r}")
    return [
        {"name": name, "kind": "positional_or_keyword", **default}
        for name, default in _pieces(match[1])
        if name != "self"
    ]


def _pieces(text: str) -> Iterator[tuple[str, Parameter]]:
    """Names and defaults of parameters between commas that are in no brackets."""
    depth, piece = 0, ""
    for letter in f"{text},":
        depth += (letter in "[(") - (letter in "])")
        if letter == "," and depth == 0:
            name, _, default = piece.partition(" = ")
            yield name.partition(":")[0].strip(), {"default": default.strip()} if default else {}
            piece = ""
        else:
            piece += letter


if __name__ == "__main__":
    main(sys.argv[1:])
