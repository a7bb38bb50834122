"""Whole texts that are wrong, and every word that is said of them."""

from __future__ import annotations

import textwrap

import pytest

from attnbench.errors import NothingSelected

SMALL = """\
suite: small
problem: {q_len: 1, q_heads: 32, head_dim: 128, dtype: bf16}
backends: {naive: , sdpa: }
"""


def said(text: str) -> str:
    return textwrap.dedent(text).strip("\n")


BAD = {
    "a key by the name that it had before": (
        SMALL + "measure: {launches: 3}\ngate:\n  min_launches: 5\n",
        """
        error: 'launches' in measure was renamed to 'processes'
          suites/x.yaml:4:11
            4 | measure: {launches: 3}
              |           ^^^^^^^^ write processes
        error: 'min_launches' in gate was renamed to 'min_processes'
          suites/x.yaml:6:3
            6 |   min_launches: 5
              |   ^^^^^^^^^^^^ write min_processes
        2 errors
        """,
    ),
    "an unknown key, and those allowed": (
        (
            "suite: x\nabuot: hi\nproblem: {q_len: 1, q_heads: 2, head_dim: 8, dtype: bf16}\n"
            "backends: {naive: {option: {}}}\n"
        ),
        """
        error: unknown key 'abuot' in a suite
          suites/x.yaml:2:1
            2 | abuot: hi
              | ^^^^^ did you mean 'about'?
          keys allowed here: suite, about, tags, source, published, problem, sweep, exclude, \
backends, baseline, measure, gate
        error: unknown key 'option' in backends.naive
          suites/x.yaml:4:20
            4 | backends: {naive: {option: {}}}
              |                    ^^^^^^ did you mean 'options'?
          keys allowed here: name, options
        2 errors
        """,
    ),
    "a misspelt axis, and one that ties nothing": (
        SMALL + "sweep:\n  kv_lne: [1k]\n  heads: [{kv_heads: 8}, 3]\n  batch: 8\n  other: []\n",
        """
        error: unknown key 'kv_lne' in sweep
          suites/x.yaml:5:3
            5 |   kv_lne: [1k]
              |   ^^^^^^ did you mean 'kv_len'?
        error: sweep.heads is a map of keys and values
          suites/x.yaml:6:26
            6 |   heads: [{kv_heads: 8}, 3]
              |                          ^ an axis whose name is no field ties fields: \
- {q_heads: 32, kv_heads: 8}
        error: the axis batch is a list of values
          suites/x.yaml:7:10
            7 |   batch: 8
              |          ^ write [ ] around them
        error: this axis has no value
          suites/x.yaml:8:10
            8 |   other: []
              |          ^^
        4 errors
        """,
    ),
    "a wrong type": (
        (
            "suite: x\nproblem: {q_len: 1, kv_len: 4 k, q_heads: [8], head_dim: 6.0, dtype: bf61,"
            " seed: -1,\n  softcap: x, sink_logits: yes, requests: 3}\nbackends: {naive: }\n"
        ),
        """
        error: kv_len needs a whole number, found the text '4 k'
          suites/x.yaml:2:29
            2 | problem: {q_len: 1, kv_len: 4 k, q_heads: [8], head_dim: 6.0, dtype: bf61, seed: -1,
              |                             ^^^ write 4k or 4096
        error: q_heads needs a whole number, found a list
          suites/x.yaml:2:43
            2 | problem: {q_len: 1, kv_len: 4 k, q_heads: [8], head_dim: 6.0, dtype: bf61, seed: -1,
              |                                           ^^^ what is varied goes under sweep
        error: head_dim needs a whole number, found 6.0
          suites/x.yaml:2:58
            2 | problem: {q_len: 1, kv_len: 4 k, q_heads: [8], head_dim: 6.0, dtype: bf61, seed: -1,
              |                                                          ^^^ write 6
        error: dtype is one of fp32, tf32, fp16, bf16, fp8_e4m3, fp8_e5m2; got 'bf61'
          suites/x.yaml:2:70
            2 | problem: {q_len: 1, kv_len: 4 k, q_heads: [8], head_dim: 6.0, dtype: bf61, seed: -1,
              |                                                                      ^^^^ \
did you mean 'bf16'?
        error: seed is at least 0; got -1
          suites/x.yaml:2:82
            2 | problem: {q_len: 1, kv_len: 4 k, q_heads: [8], head_dim: 6.0, dtype: bf61, seed: -1,
              |                                                                                  ^^
        error: softcap needs a number, found the text 'x'
          suites/x.yaml:3:12
            3 |   softcap: x, sink_logits: yes, requests: 3}
              |            ^
        error: sink_logits is true or false; got the text 'yes'
          suites/x.yaml:3:28
            3 |   softcap: x, sink_logits: yes, requests: 3}
              |                            ^^^ write true or false
        error: requests is a text; got 3
          suites/x.yaml:3:43
            3 |   softcap: x, sink_logits: yes, requests: 3}
              |                                           ^ write '3'
        8 errors
        """,
    ),
    "sections of another kind": (
        "suite: [x]\nabout:\nproblem: 3\nsweep:\nexclude: {kv_len: 3}\nbackends: [naive]\n",
        """
        error: suite is a text; got a list
          suites/x.yaml:1:8
            1 | suite: [x]
              |        ^^^
        error: about is a text; got nothing
          suites/x.yaml:2:1
            2 | about:
              | ^^^^^
        error: problem is a map of keys and values
          suites/x.yaml:3:10
            3 | problem: 3
              |          ^
        error: sweep is a map of keys and values
          suites/x.yaml:4:1
            4 | sweep:
              | ^^^^^
        error: exclude is a list
          suites/x.yaml:5:10
            5 | exclude: {kv_len: 3}
              |          ^^^^^^^^^^^ write - {kv_len: '>=64k'}
        error: backends is a map of keys and values
          suites/x.yaml:6:11
            6 | backends: [naive]
              |           ^^^^^^^ write each name as a key: 'sdpa:'
        6 errors
        """,
    ),
    "what is missing": (
        "about: x\n",
        """
        error: a suite needs the key 'suite'
          suites/x.yaml:1:1
            1 | about: x
              | ^
        error: a suite needs the key 'backends'
          suites/x.yaml:1:1
            1 | about: x
              | ^
        error: a problem needs q_heads and head_dim and dtype and q_len, or requests
          suites/x.yaml:1:1
            1 | about: x
              | ^
        3 errors
        """,
    ),
    "duplicate keys, with both places": (
        (
            "suite: x\nproblem: {q_len: 1, q_heads: 2, head_dim: 8, dtype: bf16}\nsweep:\n"
            "  batch: [1]\n  kv_len: [1]\n  batch: [2]\nbackends: {naive: }\nsuite: y\n"
        ),
        """
        error: the key 'batch' stands twice in sweep
          suites/x.yaml:6:3
            6 |   batch: [2]
              |   ^^^^^
          suites/x.yaml:4:3
            4 |   batch: [1]
              |   ^^^^^ it stands here already
        error: the key 'suite' stands twice
          suites/x.yaml:8:1
            8 | suite: y
              | ^^^^^
          suites/x.yaml:1:1
            1 | suite: x
              | ^^^^^ it stands here already
        2 errors
        """,
    ),
    "heads that do not divide": (
        (
            "suite: x\nproblem: {q_len: 1, head_dim: 128, dtype: bf16}\n"
            "sweep:\n  q_heads: [32, 40]\n  kv_heads: [8, 16, 32]\n  batch: [1, 8]\n"
            "backends: {naive: , sdpa: }\n"
        ),
        """
        error: 40 q_heads cannot be shared by 16 kv_heads (40/16 = 2.5)
          suites/x.yaml:5:3     affects 8 of 24 cases
            5 |   kv_heads: [8, 16, 32]
              |   ^^^^^^^^
          also: 40 q_heads cannot be shared by 32 kv_heads (40/32 = 1.25)
        """,
    ),
    "a field in two axes, and in tied ones": (
        SMALL + "sweep:\n  kv_len: [1k]\n  load: [{batch: 1}, {batch: 2, kv_len: 2k}]\n"
        "  more: [{batch: 3}]\n",
        """
        error: kv_len stands in two axes, kv_len and load
          suites/x.yaml:6:33
            6 |   load: [{batch: 1}, {batch: 2, kv_len: 2k}]
              |                                 ^^^^^^ keep one
          suites/x.yaml:5:3
            5 |   kv_len: [1k]
              |   ^^^^^^ and here
        error: batch stands in two axes, load and more
          suites/x.yaml:7:11
            7 |   more: [{batch: 3}]
              |           ^^^^^ keep one
          suites/x.yaml:6:11
            6 |   load: [{batch: 1}, {batch: 2, kv_len: 2k}]
              |           ^^^^^ and here
        2 errors
        """,
    ),
    "powers of two that are none": (
        SMALL + "sweep:\n  kv_len: {pow2: [1k, 3k]}\n  batch: {pow2: [8, 1]}\n"
        "  window: {pow2: [1]}\n  page_size: {pow2: [1, 4 k]}\n  seed: {pow2: [1, 9999999999g]}\n",
        """
        error: pow2 goes from one power of two to another; 3072 is none
          suites/x.yaml:5:11
            5 |   kv_len: {pow2: [1k, 3k]}
              |           ^^^^^^^^^^^^^^^^
        error: pow2 goes upwards; 8 is more than 1
          suites/x.yaml:6:10
            6 |   batch: {pow2: [8, 1]}
              |          ^^^^^^^^^^^^^^ [1, 8]
        error: the axis window is a list, or pow2 with both ends
          suites/x.yaml:7:11
            7 |   window: {pow2: [1]}
              |           ^^^^^^^^^^^ {pow2: [1k, 64k]}
        error: pow2 of page_size needs a whole number, found the text '4 k'
          suites/x.yaml:8:14
            8 |   page_size: {pow2: [1, 4 k]}
              |              ^^^^^^^^^^^^^^^^ write 4k or 4096
        error: pow2 goes from one power of two to another; 10737418238926258176 is none
          suites/x.yaml:9:9
            9 |   seed: {pow2: [1, 9999999999g]}
              |         ^^^^^^^^^^^^^^^^^^^^^^^^
        5 errors
        """,
    ),
    "a grid larger than any machine": (
        SMALL + "sweep:\n  kv_len: {pow2: [1, 1g]}\n  batch: {pow2: [1, 1g]}\n"
        "  seed: {pow2: [1, 1g]}\n  window: {pow2: [1, 1g]}\n",
        """
        error: the sweep multiplies to 923521 problems, more than 100000
          suites/x.yaml:4:1
            4 | sweep:
              | ^^^^^
        """,
    ),
    "backends and options": (
        (
            "suite: x\nproblem: {q_len: 1, q_heads: 2, head_dim: 8, dtype: bf16}\nbackends:\n"
            "  niave:\n  sdpa: {options: {kernel: [flsh, 3], kernl: x}}\n"
            "  naive: {options: {upcast: 1}}\n  tuned: {options: {block: 2.5, path: 3, zz: 1,"
            " stages: 4, share: x}}\n  ./a/naive.py:\n  ./missing.py:\nbaseline: sdpa\n"
        ),
        """
        error: unknown backend 'niave'
          suites/x.yaml:4:3
            4 |   niave:
              |   ^^^^^
          did you mean 'naive'?
        error: kernel is one of auto, math, flash, efficient, cudnn; got 'flsh'
          suites/x.yaml:5:29
            5 |   sdpa: {options: {kernel: [flsh, 3], kernl: x}}
              |                             ^^^^ did you mean 'flash'?
        error: kernel is one of auto, math, flash, efficient, cudnn; got 3
          suites/x.yaml:5:35
            5 |   sdpa: {options: {kernel: [flsh, 3], kernl: x}}
              |                                   ^
        error: sdpa has no option 'kernl'
          suites/x.yaml:5:39
            5 |   sdpa: {options: {kernel: [flsh, 3], kernl: x}}
              |                                       ^^^^^ did you mean 'kernel'?
        error: upcast is true or false; got 1
          suites/x.yaml:6:29
            6 |   naive: {options: {upcast: 1}}
              |                             ^
        error: block is a whole number; got 2.5
          suites/x.yaml:7:28
            7 |   tuned: {options: {block: 2.5, path: 3, zz: 1, stages: 4, share: x}}
              |                            ^^^
        error: path is a text; got 3
          suites/x.yaml:7:39
            7 |   tuned: {options: {block: 2.5, path: 3, zz: 1, stages: 4, share: x}}
              |                                       ^
        error: tuned has no option 'zz'
          suites/x.yaml:7:42
            7 |   tuned: {options: {block: 2.5, path: 3, zz: 1, stages: 4, share: x}}
              |                                          ^^ its options: block, share, splits, \
path, stages
        error: stages is one of 1, 2, 3; got 4
          suites/x.yaml:7:57
            7 |   tuned: {options: {block: 2.5, path: 3, zz: 1, stages: 4, share: x}}
              |                                                         ^
        error: share is a number; got 'x'
          suites/x.yaml:7:67
            7 |   tuned: {options: {block: 2.5, path: 3, zz: 1, stages: 4, share: x}}
              |                                                                   ^
        error: two backends have the name 'naive'
          suites/x.yaml:8:3
            8 |   ./a/naive.py:
              |   ^^^^^^^^^^^^
          suites/x.yaml:6:3
            6 |   naive: {options: {upcast: 1}}
              |   ^^^^^ give one of them a name: of its own
        error: no such file: ./missing.py
          suites/x.yaml:9:3
            9 |   ./missing.py:
              |   ^^^^^^^^^^^^
        12 errors
        """,
    ),
    "a baseline that is no label": (
        SMALL + "baseline: spda\n",
        """
        error: no backend 'spda' in this suite
          suites/x.yaml:4:11
            4 | baseline: spda
              |           ^^^^ did you mean 'sdpa'?
          labels here: naive, sdpa
        """,
    ),
    "no backend at all": (
        "suite: x\nproblem: {q_len: 1, q_heads: 2, head_dim: 8, dtype: bf16}\nbackends: {}\n",
        """
        error: backends names none
          suites/x.yaml:3:11
            3 | backends: {}
              |           ^^
        """,
    ),
    "exclude": (
        SMALL + "exclude:\n  - {kv_lne: 1k, kernl: flash, kernel: flash}\n"
        '  - {kv_len: ">=2 k", backend: niave}\n  - {backend: [sdpa, x], backend_label: "!=y"}\n'
        "  - {kv_len: []}\n",
        """
        error: a value, or a list of values, stands here
          suites/x.yaml:8:14
            8 |   - {kv_len: []}
              |              ^^
        """,
    ),
    "conditions of exclude": (
        SMALL + "exclude:\n  - {kv_lne: 1k, kernl: flash, kernel: flash}\n"
        '  - {kv_len: ">=2 k", backend: niave}\n  - {backend: [sdpa, x], backend_label: "!=y"}\n'
        "  - {weight: 3}\n",
        """
        error: unknown key 'kv_lne' in exclude
          suites/x.yaml:5:6
            5 |   - {kv_lne: 1k, kernl: flash, kernel: flash}
              |      ^^^^^^ did you mean 'kv_len'?
        error: unknown key 'kernl' in exclude
          suites/x.yaml:5:18
            5 |   - {kv_lne: 1k, kernl: flash, kernel: flash}
              |                  ^^^^^ did you mean 'kernel'?
        error: kv_len is a number; got '2 k'
          suites/x.yaml:6:14
            6 |   - {kv_len: ">=2 k", backend: niave}
              |              ^^^^^^^ write 4096 or 4k
        error: no backend 'niave' in this suite
          suites/x.yaml:6:32
            6 |   - {kv_len: ">=2 k", backend: niave}
              |                                ^^^^^ did you mean 'naive'?
        error: no backend 'x' in this suite
          suites/x.yaml:7:22
            7 |   - {backend: [sdpa, x], backend_label: "!=y"}
              |                      ^
        error: no backend_label 'y' in this suite
          suites/x.yaml:7:41
            7 |   - {backend: [sdpa, x], backend_label: "!=y"}
              |                                         ^^^^^
        error: exclude goes by fields, not by weight
          suites/x.yaml:8:6
            8 |   - {weight: 3}
              |      ^^^^^^ name the fields that it has
        7 errors
        """,
    ),
    "filters, shares and figures": (
        SMALL + "gate:\n  max_slowdown: 3\n  min_processes: 0\n  inconclusive: wran\n  limits:\n"
        "    - {where: 'kv_lne>3', max_slowdown: x%}\n    - {where: decode or, max_slowdown: -1}\n"
        "    - {where: decode}\n"
        'published: [{where: "mask=cusal", device: H200, backend: x}]\n',
        """
        error: max_slowdown 3 would be 300 %
          suites/x.yaml:5:17
            5 |   max_slowdown: 3
              |                 ^ write 3% or 0.03
        error: min_processes is at least 1; got 0
          suites/x.yaml:6:18
            6 |   min_processes: 0
              |                  ^
        error: inconclusive is one of warn, fail, pass; got 'wran'
          suites/x.yaml:7:17
            7 |   inconclusive: wran
              |                 ^^^^ did you mean 'warn'?
        error: unknown field 'kv_lne'
          suites/x.yaml:9:16
            9 |     - {where: 'kv_lne>3', max_slowdown: x%}
              |                ^^^^^^ did you mean 'kv_len'?
        error: max_slowdown is a share; got the text 'x%'
          suites/x.yaml:9:41
            9 |     - {where: 'kv_lne>3', max_slowdown: x%}
              |                                         ^^ write 3% or 0.03
        error: the filter ends where something to match should stand
          suites/x.yaml:10:24
            10 |     - {where: decode or, max_slowdown: -1}
               |                        ^
        error: max_slowdown is at least 0; got -1
          suites/x.yaml:10:40
            10 |     - {where: decode or, max_slowdown: -1}
               |                                        ^^
        error: gate.limits needs the key 'max_slowdown'
          suites/x.yaml:11:7
            11 |     - {where: decode}
               |       ^^^^^^^^^^^^^^^
        error: a published figure needs one of latency_us, tflops, gbps
          suites/x.yaml:12:13
            12 | published: [{where: "mask=cusal", device: H200, backend: x}]
               |             ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
        error: mask is one of none, causal, window; got 'cusal'
          suites/x.yaml:12:27
            12 | published: [{where: "mask=cusal", device: H200, backend: x}]
               |                           ^^^^^ did you mean 'causal'?
        10 errors
        """,
    ),
    "measure": (
        SMALL + "measure: {timer: [wall, evnt], l2: [], processes: 1.5, warmup_s: -1, tags: 3}\n",
        """
        error: timer is one of auto, wall, event, event_batched, graph, profiler; got 'evnt'
          suites/x.yaml:4:25
            4 | measure: {timer: [wall, evnt], l2: [], processes: 1.5, warmup_s: -1, tags: 3}
              |                         ^^^^ did you mean 'event'?
        error: this list has no value
          suites/x.yaml:4:36
            4 | measure: {timer: [wall, evnt], l2: [], processes: 1.5, warmup_s: -1, tags: 3}
              |                                    ^^
        error: processes needs a whole number, found 1.5
          suites/x.yaml:4:51
            4 | measure: {timer: [wall, evnt], l2: [], processes: 1.5, warmup_s: -1, tags: 3}
              |                                                   ^^^ write 4096 or 4k
        error: warmup_s is at least 0; got -1
          suites/x.yaml:4:66
            4 | measure: {timer: [wall, evnt], l2: [], processes: 1.5, warmup_s: -1, tags: 3}
              |                                                                  ^^
        error: unknown key 'tags' in measure
          suites/x.yaml:4:70
            4 | measure: {timer: [wall, evnt], l2: [], processes: 1.5, warmup_s: -1, tags: 3}
              |                                                                      ^^^^
          keys allowed here: processes, warmup_s, sample_s, max_noise, energy_s, case_limit_s, \
compile_s, deadline_s, timer, l2, flush
        5 errors
        """,
    ),
    "models": (
        (
            "suite: x\nproblem: {q_len: 1, kv_len: 1k, dtype: bf16, head_dim: 128}\n"
            "sweep:\n  model: [llama-3-8b, lama-3-70b, ./none/config.json]\n"
            "backends: {naive: , sdpa: }\n"
        ),
        """
        error: head_dim comes from the model; give one of them
          suites/x.yaml:2:56     affects 2 of 6 cases
            2 | problem: {q_len: 1, kv_len: 1k, dtype: bf16, head_dim: 128}
              |                                                        ^^^
        error: unknown model 'lama-3-70b'
          suites/x.yaml:4:3     affects 4 of 6 cases
            4 |   model: [llama-3-8b, lama-3-70b, ./none/config.json]
              |   ^^^^^ did you mean 'llama-3-70b'?
          also: cannot read the model config suites/none/config.json: No such file or directory
        2 errors
        """,
    ),
    "tp": (
        (
            "suite: x\nproblem: {q_len: 1, kv_len: 1k, dtype: bf16}\nsweep:\n"
            "  tp: [1, 2, 4]\n  model: [llama-3-8b, qwen2.5-0.5b]\nbackends: {naive: }\n"
        ),
        """
        error: qwen2.5-0.5b: 14 q_heads cannot be divided among tp 4 devices
          suites/x.yaml:4:14     affects 1 of 6 cases
            4 |   tp: [1, 2, 4]
              |              ^
        """,
    ),
    "tp without a model": (
        SMALL.replace("q_len: 1", "q_len: 1, tp: 2"),
        """
        error: tp divides the heads of a model; there is none
          suites/x.yaml:2:25     affects 2 of 2 cases
            2 | problem: {q_len: 1, tp: 2, q_heads: 32, head_dim: 128, dtype: bf16}
              |                         ^
        """,
    ),
    "fields that exclude each other": (
        SMALL + "sweep:\n  requests: [2q1s1k]\n",
        """
        error: requests stands instead of q_len; give one of them
          suites/x.yaml:2:18     affects 2 of 2 cases
            2 | problem: {q_len: 1, q_heads: 32, head_dim: 128, dtype: bf16}
              |                  ^
        """,
    ),
    "a batch that does not read": (
        (
            "suite: x\nproblem: {q_heads: 2, head_dim: 8, dtype: bf16}\n"
            "sweep:\n  requests: [q2k, 3z]\nbackends: {naive: }\n"
        ),
        """
        error: '3z' in requests '3z' does not read
          suites/x.yaml:4:19     affects 1 of 2 cases
            4 |   requests: [q2k, 3z]
              |                   ^^
          write groups like 8q1s1k (8 decodes over 1024) or 2q2k, joined by _
        """,
    ),
}


@pytest.mark.parametrize("what", BAD)
def test_the_faults_of_a_text_are_reported_at_once(what, faults):
    text, expected = BAD[what]

    assert faults(text) == said(expected)


SET = {
    ("kv_lne=3", "kv_len", "kv_len=1k,2 x", "batch=0", "mask=cusal,none", "batch=1"): """
        error: unknown field 'kv_lne'
          command line
             | --set kv_lne=3
             |       ^^^^^^ did you mean 'kv_len'?
        error: 'kv_len' sets nothing
          command line
             | --set kv_len
             |       ^^^^^^ write --set kv_len=1k,4k
        error: batch is set twice
          command line
             | --set batch=1
             |       ^^^^^ write --set batch=a,b
        error: mask is one of none, causal, window; got 'cusal'
          command line
             | --set mask=cusal,none
             |            ^^^^^ did you mean 'causal'?
        error: batch is at least 1; got 0
          command line
             | --set batch=0
             |             ^
        error: kv_len needs a whole number, found the text '2 x'
          command line
             | --set kv_len=1k,2 x
             |                 ^^^ write 4096 or 4k
        6 errors
        """,
    ("q_heads=6", "kv_heads=3,4"): """
        error: 6 q_heads cannot be shared by 4 kv_heads (6/4 = 1.5)
          command line     affects 2 of 4 cases
             | --set kv_heads=3,4
             |                  ^
        """,
}


@pytest.mark.parametrize("words", SET)
def test_faults_of_set_name_the_command_line(words, faults):
    assert faults(SMALL, overrides=words) == said(SET[words])


def test_faults_of_backend_name_the_command_line(faults):
    words = ("sdpa[kernel=flsh]", "spda", "sdpa[", "sdpa[kernl=flash]", "sdpa[kernel]")

    assert faults(SMALL, backends=words) == said("""
        error: kernel is one of auto, math, flash, efficient, cudnn; got 'flsh'
          command line
             | --backend sdpa[kernel=flsh]
             |           ^^^^^^^^^^^^^^^^^ did you mean 'flash'?
        error: unknown backend 'spda'
          command line
             | --backend spda
             |           ^^^^
          did you mean 'sdpa'?
        error: 'sdpa[' is no backend
          command line
             | --backend sdpa[
             |           ^^^^^ write sdpa or 'sdpa[kernel=math]'
        error: sdpa has no option 'kernl'
          command line
             | --backend sdpa[kernl=flash]
             |           ^^^^^^^^^^^^^^^^^ did you mean 'kernel'?
        error: 'kernel' in the label sets nothing
          command line
             | --backend sdpa[kernel]
             |           ^^^^^^^^^^^^ write option=value
        5 errors""")


def test_an_empty_grid_says_what_left_out_how_many(loaded):
    text = SMALL + 'sweep: {kv_len: [1k, 2k]}\nexclude:\n  - {kv_len: 1k}\n  - {kv_len: ">=2k"}\n'

    with pytest.raises(NothingSelected) as caught:
        loaded(text)

    assert caught.value.exit_code == 5
    assert str(caught.value) == said("""
        nothing to run: all 4 cases are excluded
          2 by kv_len=1k    suites/x.yaml:6
          2 by kv_len>=2k   suites/x.yaml:7""")
