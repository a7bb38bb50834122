"""The six slices: which commands, in which order, for how long, and what each one answers.

What is worth most comes first, because a slice may be cut off. The limits of a slice add up to less
than 540 s; where a step ends early, those that stretch have its time.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from slices.step import Step

PYTEST = ("{python}", "-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "default")
ATTNBENCH = ("{python}", "-m", "attnbench")

# A suite on a CPU, small enough for some seconds; the triton backends say `unsupported` there.
_TINY: dict[str, tuple[str, ...]] = {
    "decode": ("--set", "batch=1", "--set", "kv_len=256", "-k", "kv_heads=8"),
    "kv_cache": ("--set", "batch=1", "--set", "kv_len=256", "-k", "page_order=shuffled"),
    "prefill": ("--set", "q_len=128", "-k", "q_heads=8"),
    "train": ("--set", "batch=1", "--set", "q_len=128", "-k", "q_heads=16"),
    "gqa_groups": ("-k", "kv_len=1k q_len=1"),
    "models": ("-k", "model=llama-3-8b batch=1 kv_len<=1k"),
    "tests/gpu/first.yaml": ("-k", "backend=sdpa q_len=1 batch=1 kv_len=1k"),
    "suites/peers.yaml": ("-k", "backend=sdpa q_len=1 batch=1"),
}
# Without `naive`, which is no rival on a GPU and would take a third of the minutes.
_CHOSEN = {
    "decode": ("sdpa", "triton_decode"),
    "kv_cache": ("sdpa", "triton_decode"),
    "prefill": ("sdpa", "triton_flash"),
    "train": ("sdpa", "triton_flash"),
}
_TINY_RUN = ("--processes", "1")
_INTERPRETED = "window or rope or splits"  # of the kernel tests, in the interpreter


def first(*, dry: bool) -> list[Step]:
    """Slice 0: first contact, in five minutes: figures that are checked row by row, and kernels."""
    return [
        machine(),
        _doctor(limit_s=40),
        _run(
            "tests/gpu/first.yaml",
            limit_s=185,
            answers="our kernels and torch's at the shapes of the targets, each checked",
            dry=dry,
        ),
        _kernels(limit_s=85, dry=dry),
    ]


def correctness(*, dry: bool) -> list[Step]:
    """Slice 1: is the machine what it says, are the kernels right and the timers true."""
    return [
        machine(),
        _doctor(limit_s=45),
        _kernels(limit_s=90, dry=dry),
        _pytest(
            "lengths",
            "tests/gpu/test_lengths.py",
            answers="50 us to 5 ms read within 1 % by each timer",
            limit_s=50,
        ),
        _pytest(
            "rules",
            *("tests/gpu/test_rules.py", "-k", "not known_length"),
            answers="whether the rules tested on the simulated device hold",
            limit_s=55,
        ),
        _pytest(
            "faults",
            "tests/gpu/test_faults.py",
            answers="OOM, illegal address and hang cost their case alone",
            limit_s=90,
        ),
        _pytest(
            "rows",
            *("tests/gpu/test_memory.py", "tests/gpu/test_telemetry.py"),
            *(() if dry else _spread(4)),
            answers="workspaces exact to 512 bytes; NVML by UUID, clocks, power",
            limit_s=30,
        ),
        _pytest(
            "rest",
            *(f"tests/gpu/test_{one}.py" for one in _REST),
            answers="facts, events, whole runs, the self-test's own tests",
            limit_s=40,
        ),
        Step(
            name="bias",
            command=("{python}", "tests/gpu/crosscheck.py", "--lengths", *_CHECKED),
            answers="what each timer reads of a known length, beside do_bench, NVBench and CUPTI",
            limit_s=60,
        ),
        Step(
            name="dram",
            command=("{python}", "tests/gpu/dram.py", "{work}/dram", *(("--rehearse",) * dry)),
            answers="DRAM bytes that ncu counts beside the least that cost model 1 knows",
            limit_s=45,
            needs=("verb:profile",),
        ),
        _pytest(
            "waits",
            *("tests/gpu/test_rules.py", "-k", "known_length"),
            answers="the rules' own test of known lengths, which is long",
            limit_s=25,
            stretches=True,
        ),
    ]


def decode(*, dry: bool) -> list[Step]:
    """Slice 2: one token against a cache, whole and paged, 16 bit and quantised."""
    sides = [f"{{work}}/results/noise-{side}.parquet" for side in "ab"]
    return [
        machine(),
        _run("decode", limit_s=165, answers="decode against bandwidth, MHA to MQA", dry=dry),
        _run("kv_cache", limit_s=165, answers="paged and quantised caches", dry=dry),
        targets(),
        *(_noise(side, dry=dry) for side in "ab"),
        Step(
            name="noise",
            command=(*ATTNBENCH, "compare", *sides),
            answers="the A/A noise floor of this machine",
            limit_s=10,
        ),
        Step(
            name="profilers",
            command=(
                *("{python}", "tests/gpu/dram.py", "{work}/dram", *(("--rehearse",) * dry)),
                *("--tests", "{work}/junit/profile.xml"),
            ),
            answers="kernels and bytes as torch's profiler, ncu and proton see them",
            limit_s=55,
            needs=("verb:profile", "path:tests/gpu/test_profile.py"),
        ),
    ]


def prefill(*, dry: bool) -> list[Step]:
    """Slice 3: prompts, training, groups and models."""
    return [
        machine(),
        _run("prefill", limit_s=150, answers="prefill against the matrix units", dry=dry),
        _run("train", limit_s=120, answers="forward and backward", dry=dry),
        _run("gqa_groups", limit_s=100, answers="what sharing KV heads saves", dry=dry),
        _run("models", limit_s=120, answers="the attention of well-known models", dry=dry),
        targets(),
    ]


def tuning(*, dry: bool) -> list[Step]:
    """Slice 4: the sweep that chooses the shipped configurations."""

    def words(backend: str) -> tuple[str, ...]:
        if dry:  # on a CPU there is nothing to tune, and to compile every candidate takes minutes
            return ("--help",)
        out = f"{{work}}/tuned/{backend}.json"
        return (backend, "--device", "{device}", "--processes", "3", "--out", out)

    return [
        machine(),
        *(
            Step(
                name=f"tune_{one}",
                command=(*ATTNBENCH, "tune", *words(one)),
                answers=f"which of {one}'s configurations are fastest here",
                limit_s=250,
                needs=("verb:tune",),
                stretches=True,
            )
            for one in ("triton_decode", "triton_flash")
        ),
    ]


def peers(*, dry: bool) -> list[Step]:
    """Slice 5: other libraries on the same GPU in one sitting, and other people's timers."""
    return [
        machine(),
        Step(
            name="backends",
            command=(*ATTNBENCH, "list", "backends", "--probe"),
            answers="which libraries can be used here, and what the others lack",
            limit_s=40,
        ),
        _pytest(
            "adapters",
            "tests/gpu/test_adapters.py",
            answers="other libraries against the fp64 reference",
            limit_s=45,
            needs=("path:tests/gpu/test_adapters.py",),
        ),
        _run(
            "suites/peers.yaml",
            limit_s=280,
            answers="our kernels beside other libraries'",
            dry=dry,
            needs=("path:suites/peers.yaml",),
        ),
        Step(
            name="crosscheck",
            command=("{python}", "tests/gpu/crosscheck.py", *_CHECKED),
            answers="our latencies beside do_bench's, NVBench's and CUPTI's on the same calls",
            limit_s=150,
        ),
        targets(),
    ]


SLICES: dict[int, Callable[..., list[Step]]] = {
    0: first,
    1: correctness,
    2: decode,
    3: prefill,
    4: tuning,
    5: peers,
}

# The quick ones first: whole runs and the conformance kit take what is left of their minutes.
_REST = ("selftest", "canary", "cuda", "pytest_plugin", "ab", "conformance")
_CHECKED = ("--device", "{device}", "--out", "{work}/crosscheck")


def machine() -> Step:
    """Who and what this is: every slice says so, because each may run on another machine."""
    return Step(
        name="machine",
        command=("{python}", "tests/gpu/slices/machine.py", "{work}/machine.json"),
        answers="device, driver, toolkit, packages",
        limit_s=10,
    )


def targets() -> Step:
    """What the runs of this slice reach of the speeds that the kernels are to reach."""
    return Step(
        name="targets",
        command=("{python}", "tests/gpu/targets.py", "{work}/results"),
        answers="speeds to reach, and where they stand",
        limit_s=15,
    )


def _doctor(*, limit_s: float) -> Step:
    return Step(
        name="doctor",
        command=(*ATTNBENCH, "doctor", "--json"),
        answers="ceilings, timer self-test, telemetry",
        limit_s=limit_s,
    )


def _kernels(*, limit_s: float, dry: bool) -> Step:
    return _pytest(
        "kernels",
        *("tests/gpu/test_kernels.py", *(("-k", _INTERPRETED) if dry else _spread(12))),
        answers="every kernel against the fp64 reference, all dtypes, real shapes",
        limit_s=limit_s,
        stretches=True,
        environment={"TRITON_INTERPRET": "1"} if dry else {},
    )


def _pytest(
    name: str,
    *words: str,
    answers: str,
    limit_s: float,
    stretches: bool = False,
    environment: dict[str, str] | None = None,
    needs: tuple[str, ...] = (),
) -> Step:
    return Step(
        name=name,
        command=(*PYTEST, "-m", "gpu", *words, f"--junitxml={{work}}/junit/{name}.xml"),
        answers=answers,
        limit_s=limit_s,
        needs=(*needs, *(("module:xdist",) if "-n" in words else ())),
        stretches=stretches,
        environment=environment or {},
    )


def _spread(processes: int) -> tuple[str, ...]:
    """Side by side, where nothing is timed: most of the time goes into compilers and imports."""
    return ("-n", str(processes))


def _run(
    suite: str, *, limit_s: float, answers: str, dry: bool, needs: tuple[str, ...] = ()
) -> Step:
    name = Path(suite).stem
    chosen = (word for one in _CHOSEN.get(suite, ()) for word in ("--backend", one))
    return Step(
        name=name,
        command=(
            *ATTNBENCH,
            *("run", suite, "--device", "{device}"),
            *("--budget", "{budget}s", "--out", f"{{work}}/results/{name}.parquet"),
            *((*_TINY[suite], *_TINY_RUN) if dry else chosen),
        ),
        answers=answers,
        limit_s=limit_s,
        needs=needs,
        stretches=True,
    )


def _noise(side: str, *, dry: bool) -> Step:
    """One side of an A/A: the same cases, in processes of their own."""
    chosen = ("--set", "batch=1,8", "--set", "kv_len=4k,32k", "-k", "kv_heads=8")
    backends = ("--backend", "sdpa", "--backend", "triton_decode")
    cases = (*_TINY["decode"], "--backend", "sdpa", *_TINY_RUN) if dry else (*chosen, *backends)
    return Step(
        name=f"noise_{side}",
        command=(
            *ATTNBENCH,
            *("run", "decode", "--device", "{device}", *cases, "--budget", "{budget}s"),
            *("--out", f"{{work}}/results/noise-{side}.parquet"),
            *(() if dry else ("--processes", "3")),
        ),
        answers="the A/A noise floor of this machine, one side",
        limit_s=60,  # starting a run and its three workers takes half of it
    )
