"""The meaning of each status and note in one line; docs/metrics.md says more."""

NOTES = {
    "NOISY": "the in-process interval is wider than max_noise",
    "FEW_SAMPLES": "fewer than 10 samples",
    "FEW_PROCESSES": "fewer processes than the suite asks for",
    "L2_RESIDENT": "the working set fits into the last-level cache: no share of bandwidth",
    "LAUNCH_BOUND": "the host takes as long to enqueue a call as the device to run it",
    "THROTTLED": "the device lowered its clocks while sampling",
    "CLOCK_DRIFT": "the clocks moved between the first and the last sample",
    "FOREIGN_PROCESS": "another process used the device",
    "RESTARTED": "the first case of a worker that replaced one that died",
    "RESUMED": "the first case after --resume",
    "REDUCED": "checked on a smaller problem",
    "UPCAST": "checked in a wider dtype than asked",
    "FALLBACK": "a kernel other than the one asked for ran, or plain Python",
    "RECOMPILED": "something was compiled after the first two calls",
    "NONDETERMINISTIC": "two calls returned different bits",
    "NO_TELEMETRY": "the device does not report clocks and power",
}
STATUSES = {
    "ok": "measured, and the output is right",
    "skipped": "predicted not to fit into memory or time; never tried",
    "unsupported": "the backend says that it cannot run this problem",
    "not_run": "not reached: the budget ended, or the run was interrupted",
    "oom": "tried, and memory ran out",
    "timeout": "a call did not return in time, and its worker was killed",
    "implausible": "faster than this device can move the bytes or do the FLOPs",
    "incorrect": "the output is wrong, so nothing was timed",
    "crashed": "the worker process died",
    "failed": "the backend raised an error",
}
