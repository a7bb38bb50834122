"""The suites that come with attnbench, from a wheel or an editable install, and the starter suite.

``attnbench init`` writes the starter suite.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from attnbench.errors import InputError
from attnbench.filter import did_you_mean, nearest

_PACKAGE = Path(__file__).parents[1]
_ABOUT = re.compile(r"^about: *(.*\S)", re.MULTILINE)
_TAGS = re.compile(r"^tags: *\[(.*)\]", re.MULTILINE)
_SUFFIXES = (".yaml", ".yml")


@dataclass(frozen=True, slots=True)
class Shipped:
    """A suite that comes with attnbench; ``attnbench run NAME`` measures it."""

    name: str
    path: Path
    about: str
    tags: tuple[str, ...]


def folder() -> Path:
    """Return where the suites are: inside a wheel's package, or beside an editable one."""
    inside = _PACKAGE / "shipped_suites"
    return inside if inside.is_dir() else _PACKAGE.parent / "suites"


def shipped() -> list[Shipped]:
    """Return the shipped suites by name; no YAML parser is loaded for it."""
    return [_read(path) for path in sorted(folder().glob("*.yaml"))]


def find(name_or_path: str) -> Path:
    """Return the file of a shipped suite's name, or the path itself.

    Raises:
        InputError: no such suite or file, with the nearest name and what to type.

    """
    path = Path(name_or_path).expanduser()
    if "/" not in name_or_path and path.suffix not in _SUFFIXES:
        known = folder() / f"{name_or_path}.yaml"
        if known.is_file():
            return known
        if path.is_file():
            return path
        raise InputError(f"no suite {name_or_path!r}", hint=_instead(path))
    if path.is_dir():
        raise InputError(f"{name_or_path} is a folder; a suite is a YAML file")
    if not path.exists():
        raise InputError(f"no such file: {name_or_path}", hint=_instead(path))
    return path


def _instead(path: Path) -> str:
    """Say what to type: the shipped suite, a file nearby, or what there is."""
    names = [one.stem for one in folder().glob("*.yaml")]
    if path.suffix in _SUFFIXES and path.stem in names:
        return f"the shipped suite: attnbench run {path.stem}"
    beside = [one.name for one in path.parent.glob("*.y*ml")] if path.parent.is_dir() else []
    if path.suffix in _SUFFIXES and (close := nearest(path.name, beside)):
        return f"did you mean {str(path.parent / close)!r}?"
    listed = f"suites: {', '.join(sorted(names))}; a file needs its .yaml ending"
    return did_you_mean(path.stem, names) or listed


def _read(path: Path) -> Shipped:
    text = path.read_text(encoding="utf-8")
    about, tags = _ABOUT.search(text), _TAGS.search(text)
    words = tuple(one.strip() for one in tags[1].split(",")) if tags else ()
    return Shipped(path.stem, path, about[1] if about else "", words)


_STARTER = """\
# yaml-language-server: $schema=./suite.schema.json
suite: {name}
about: What this suite asks, in one line.

problem: {{q_len: 1, head_dim: 128, dtype: bf16}}   # what all cases have in common

sweep:                                # the axes multiply, the first outermost
  batch: [1, 8]
  kv_len: {{pow2: [1k, 4k]}}            # 1024, 2048, 4096; 1k is 1024
  heads:                              # tied: these move together
    - {{q_heads: 32, kv_heads: 32}}     # MHA
    - {{q_heads: 32, kv_heads: 8}}      # GQA

exclude:
  - {{batch: 8, kv_len: ">=4k", kv_heads: 32}}

backends:
  naive:
  sdpa:
  # ./my_attn.py:                     # a file of your own, seen from this folder

baseline: sdpa                        # what speed-ups are against
measure: {{processes: 3, case_limit_s: 5}}
gate: {{max_slowdown: 3%}}
"""


def starter_text(name: str = "my_suite") -> str:
    """Return a suite that runs as it stands, with the modeline for editors."""
    return _STARTER.format(name=name)
