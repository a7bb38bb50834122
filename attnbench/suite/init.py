"""The suite that ``attnbench init`` writes to begin with."""

from __future__ import annotations

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


def schema_text() -> str:
    """Return the JSON schema (draft 07) that the modeline points to."""
    from attnbench.suite.schema import schema_text as text

    return text()
