"""The five slices: which commands, in which order, for how long, and what each one answers.

What is worth most comes first, because a slice may be cut off. The limits of a slice add up to less
than 540 s; where a step ends early, those that stretch have its time.
"""

from __future__ import annotations

from collections.abc import Callable

from slices.step import Step

PYTEST = ("{python}", "-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "default")
ATTNBENCH = ("{python}", "-m", "attnbench")
SPREAD = 8  # processes that compile kernels side by side; correctness does not mind neighbours

# A suite on a CPU, small enough for some seconds; the triton backends say `unsupported` there.
_TINY: dict[str, tuple[str, ...]] = {
    "decode": ("--set", "batch=1", "--set", "kv_len=256", "-k", "kv_heads=8"),
    "kv_cache": ("--set", "batch=1", "--set", "kv_len=256", "-k", "page_order=shuffled"),
    "prefill": ("--set", "q_len=128", "-k", "q_heads=8"),
    "train": ("--set", "batch=1", "--set", "q_len=128", "-k", "q_heads=16"),
    "gqa_groups": ("-k", "kv_len=1k q_len=1"),
    "models": ("-k", "model=llama-3-8b batch=1 kv_len<=1k"),
    "quick": (
        "--set",
        "kv_len=256",
    ),
    "suites/peers.yaml": ("-k", "backend=sdpa", "--set", "q_len=128", "--set", "batch=1"),
}
_TINY_RUN = ("--launches", "1")
_INTERPRETED = "window or rope or splits"  # of the kernel tests, in the interpreter


def correctness(*, dry: bool) -> list[Step]:
    """Slice 1: is the machine what it says, are the kernels right and the timers true."""
    at_once = ("-k", _INTERPRETED) if dry else ("-n", str(SPREAD))
    return [
        machine(),
        Step(
            name="doctor",
            command=(*ATTNBENCH, "doctor", "--json"),
            answers="ceilings, timer self-test, telemetry",
            limit_s=35,
        ),
        _pytest(
            "kernels",
            "tests/gpu/test_kernels.py",
            *at_once,
            answers="every kernel against the fp64 reference, all dtypes, real shapes",
            limit_s=120,
            needs=() if dry else ("module:xdist",),
            stretches=True,
            environment={"TRITON_INTERPRET": "1"} if dry else {},
        ),
        _pytest("lengths", "tests/gpu/test_lengths.py", answers="50 us to 50 ms read within 1 %"),
        _pytest("memory", "tests/gpu/test_memory.py", answers="workspaces exact to 512 bytes"),
        _pytest(
            "faults",
            "tests/gpu/test_faults.py",
            answers="OOM, illegal address and hang cost their case alone",
            limit_s=50,
        ),
        _pytest(
            "rules",
            "tests/gpu/test_rules.py",
            answers="the twins of the scripted device's rules",
            limit_s=40,
        ),
        _pytest("telemetry", "tests/gpu/test_telemetry.py", answers="NVML by UUID, clocks, power"),
        _pytest(
            "rest",
            "tests/gpu",
            *(f"--ignore=tests/gpu/test_{one}.py" for one in _NAMED),
            answers="facts, events, whole runs, the self-test's own tests",
            limit_s=40,
        ),
        Step(
            name="bias",
            command=("{python}", "tests/gpu/crosscheck.py", "--lengths", *_CHECKED),
            answers="what each timer reads of a known length, beside do_bench, NVBench and CUPTI",
            limit_s=45,
        ),
        Step(
            name="dram",
            command=(*ATTNBENCH, "profile", "decode", *_DRAM, "--tool", "ncu", *_device(dry=dry)),
            answers="DRAM bytes that ncu counts beside the least that cost model 1 knows",
            limit_s=30,
            needs=("verb:profile",),
        ),
        *(_noise(side, dry=dry) for side in ("a", "b")),
        Step(
            name="noise",
            command=(
                *ATTNBENCH,
                "compare",
                "{work}/results/noise-a.parquet",
                "{work}/results/noise-b.parquet",
            ),
            answers="the A/A noise floor of this machine",
            limit_s=10,
        ),
    ]


def decode(*, dry: bool) -> list[Step]:
    """Slice 2: one token against a cache, whole and paged, 16 bit and quantised."""
    return [
        machine(),
        _run("decode", limit_s=240, answers="decode against bandwidth, MHA to MQA", dry=dry),
        _run("kv_cache", limit_s=240, answers="paged and quantised caches", dry=dry),
        targets(),
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
    more = ("--problems", "1") if dry else ()
    return [
        machine(),
        *(
            Step(
                name=f"tune_{one}",
                command=(*ATTNBENCH, "tune", one, *_TUNED, *_device(dry=dry), *more),
                answers=f"which of {one}'s configurations are fastest here",
                limit_s=240,
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
    1: correctness,
    2: decode,
    3: prefill,
    4: tuning,
    5: peers,
}

_NAMED = ("kernels", "lengths", "memory", "faults", "rules", "telemetry")
_CHECKED = ("--device", "{device}", "--out", "{work}/crosscheck")
_DRAM = ("-k", "batch=8 kv_len=4k kv_heads=8 backend=triton_decode")
_TUNED = ("--budget", "{budget}s", "--out", "{work}/tuned")


def machine() -> Step:
    """Who and what this is: every slice says so, because each may run on another machine."""
    return Step(
        name="machine",
        command=("{python}", "tests/gpu/slices/machine.py", "{work}/machine.json"),
        answers="device, driver, toolkit, packages",
        limit_s=20,
    )


def targets() -> Step:
    """What the runs of this slice reach of the speeds that the kernels are to reach."""
    return Step(
        name="targets",
        command=("{python}", "tests/gpu/targets.py", "{work}/results"),
        answers="speeds to reach, and where they stand",
        limit_s=15,
    )


def _pytest(
    name: str,
    path: str,
    *words: str,
    answers: str,
    limit_s: float = 22,
    needs: tuple[str, ...] = (),
    stretches: bool = False,
    environment: dict[str, str] | None = None,
) -> Step:
    return Step(
        name=name,
        command=(*PYTEST, path, "-m", "gpu", *words, f"--junitxml={{work}}/junit/{name}.xml"),
        answers=answers,
        limit_s=limit_s,
        needs=(f"path:{path}", *needs),
        stretches=stretches,
        environment=environment or {},
    )


def _run(
    suite: str, *, limit_s: float, answers: str, dry: bool, needs: tuple[str, ...] = ()
) -> Step:
    name = suite.removeprefix("suites/").removesuffix(".yaml")
    return Step(
        name=name,
        command=(
            *ATTNBENCH,
            *("run", suite, "--device", "{device}"),
            *("--budget", "{budget}s", "--out", f"{{work}}/results/{name}.parquet"),
            *((*_TINY[suite], *_TINY_RUN) if dry else ()),
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
            *(() if dry else ("--launches", "5")),
        ),
        answers="the A/A noise floor of this machine, one side",
        limit_s=35,
    )


def _device(*, dry: bool) -> tuple[str, ...]:
    return ("--device", "{device}") if not dry else ("--device", "cpu")
