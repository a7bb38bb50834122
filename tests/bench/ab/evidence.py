"""What `attnbench ab` does on this machine: unchanged code, and slowdowns that were planted.

    python tests/bench/ab/evidence.py --folder /somewhere             everything, then RATES.md
    python tests/bench/ab/evidence.py --folder /somewhere --aa 5      five more, if there are fewer
    python tests/bench/ab/evidence.py --folder /somewhere --table     RATES.md from what is there

Each run of `ab` leaves its files in the folder, so that the work can be stopped and resumed:
what has a ruling is not measured again. A run takes two to five minutes.

- aa: suites/ab.yaml, sdpa against sdpa. None may be red.
- found: a backend that ends each call at a deadline, with one of its problems slower by 1.5 times
  the smallest slowdown that an unchanged run of the same suite (`sight`) says it finds.
- below: the same, half way between the limit and that smallest slowdown. It may be found, or be
  unclear; it should not pass.

A call ends a little after its deadline, so that a slower deadline makes the call slower by less.
What is planted is therefore a share of what `sight` measured, not of the deadline.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[2]
DEADLINE = HERE / "deadline.py"
DEADLINE_US = 20_000  # deadline.py's
SLOW_AT = 48  # the kv_len of the problem that gets slower
SUITE = f"""
suite: deadline
about: A backend whose calls end at a deadline, for slowdowns of a known size.
problem: {{q_len: 16, q_heads: 2, head_dim: 16, dtype: fp32}}
sweep: {{kv_len: [16, 32, {SLOW_AT}, 64]}}
backends: {{{DEADLINE}: }}
measure: {{warmup_s: 0.05, sample_s: 0.2}}
gate: {{max_slowdown: 2%}}
"""
COUNTS = {"aa": 20, "found": 10, "below": 10}


def ab(folder, name, suite, base, new, *words):
    """Run one `ab` unless it has a ruling already; return the ruling."""
    ruling = folder / f"{name}.ruling.json"
    if not ruling.exists() or json.loads(ruling.read_text(encoding="utf-8"))["interrupted"]:
        for rest in folder.glob(f"{name}.*"):
            rest.unlink()
        command = [sys.executable, "-m", "attnbench", "ab", str(suite), "--device", "cpu"]
        done = subprocess.run(
            [*command, "--base", base, "--new", new, "--out", str(folder / name), *words],
            stdout=subprocess.DEVNULL,
            check=False,
        )
        if done.returncode not in (0, 1):
            sys.exit(f"{name}: attnbench ab ended with exit code {done.returncode}")
    return json.loads(ruling.read_text(encoding="utf-8"))


def unchanged(folder, count):
    """Measure sdpa against itself."""
    return [
        ab(folder, f"aa-{number:02}", ROOT / "suites" / "ab.yaml", "sdpa", "sdpa")
        for number in range(count)
    ]


def suite_of(folder):
    """Write the suite of the backend whose slowdowns are known."""
    path = folder / "deadline.yaml"
    path.write_text(SUITE, encoding="utf-8")
    return path


def sight(folder):
    """The smallest slowdown of the one problem that an unchanged run says it finds, and its limit.

    And how much longer a call takes than its deadline, a factor.
    """
    case = slow_case(ab(folder, "sight", suite_of(folder), "deadline", "deadline"))
    return effect_of(case), case["limit"], late_by(case)


def late_by(case):
    """What a call took over its deadline."""
    return case["base"]["latency_us"] / DEADLINE_US


def planted(folder, kind, count, share, late):
    """Measure the backend against itself with the one problem slower by a share of its time."""
    new = f"deadline[share={share * late:.6f},slow_at={SLOW_AT}]"
    suite = suite_of(folder)
    return [ab(folder, f"{kind}-{n:02}", suite, "deadline", new) for n in range(count)]


def slow_case(ruling):
    """The case that is made slower."""
    (case,) = [one for one in ruling["cases"] if f"s{SLOW_AT} " in one["case_label"]]
    return case


def effect_of(case):
    """What a case says it finds; a case without an interval finds nothing."""
    return float("inf") if case["minimum_effect"] is None else case["minimum_effect"]


def measured(folder, kind):
    """The rulings of one kind that are in the folder, those that were stopped left out."""
    found = (
        json.loads(path.read_text(encoding="utf-8"))
        for path in sorted(folder.glob(f"{kind}-??.ruling.json"))
    )
    return [one for one in found if not one["interrupted"]]


def markdown(folder, note=""):
    """The table of what is in the folder; ``note`` says what else the machine was doing."""
    lines = [
        "# What ab did on a real machine",
        "",
        f"{machine(folder)}; {datetime.now(UTC):%Y-%m-%d}. Made by",
        "",
        "    python tests/bench/ab/evidence.py --folder FOLDER",
        "",
        "Every line is so many runs of `attnbench ab` with its default rounds.",
        *([note] if note else []),
        "",
        "| what | runs | red | pass | inconclusive | smallest slowdown found, median over cases |",
        "|:--|--:|--:|--:|--:|--:|",
    ]
    lines += [row(folder, kind) for kind in COUNTS if measured(folder, kind)]
    lines += ["", *unchanged_words(folder), *planted_words(folder)]
    return "\n".join(lines).rstrip() + "\n"


def machine(folder):
    """Torch, python and threads, as the newest run has them."""
    rulings = [one for kind in COUNTS for one in measured(folder, kind)]
    side = rulings[-1]["new"]
    return f"{', '.join(side['device'])}, torch {side['torch'][0]}, python {side['python'][0]}"


def row(folder, kind):
    """One line of the table."""
    rulings = measured(folder, kind)
    outcomes = [one["outcome"] for one in rulings]
    effects = [effect_of(case) for one in rulings for case in one["cases"]]
    names = {
        "aa": "unchanged: suites/ab.yaml, sdpa against sdpa, limit 5 %",
        "found": "planted, 1.5 times what can be found",
        "below": "planted, between the limit and what can be found",
    }
    counts = [outcomes.count(word) for word in ("fail", "pass", "inconclusive")]
    runs = f"{len(rulings)} of {COUNTS[kind]}"
    cells = (names[kind], runs, *counts, f"{100 * statistics.median(effects):.3g} %")
    return f"| {' | '.join(map(str, cells))} |"


def counted(verdicts):
    """``slower 7, unclear 3``."""
    return ", ".join(f"{word} {verdicts.count(word)}" for word in sorted(set(verdicts)))


def unchanged_words(folder):
    """The verdicts of all cases; nothing but same and unclear is right."""
    if rulings := measured(folder, "aa"):
        verdicts = [case["verdict"] for one in rulings for case in one["cases"]]
        yield f"- unchanged: verdicts of the {len(verdicts)} cases: {counted(verdicts)}."


def planted_words(folder):
    """What became of the one case that was made slower, and of the others."""
    for kind in ("found", "below"):
        rulings = measured(folder, kind)
        if not rulings:
            continue
        slow = [slow_case(one) for one in rulings]
        said = counted([case["verdict"] for case in slow])
        passed = sum(case["ruling"] == "pass" for case in slow)
        others = sum(
            case["ruling"] == "fail"
            for one in rulings
            for case in one["cases"]
            if f"s{SLOW_AT} " not in case["case_label"]
        )
        share = 100 * statistics.fmean(map(planted_share, rulings))
        yield (
            f"- {kind}: one problem made {share:.3f} % slower, against a limit of "
            f"{100 * slow[0]['limit']:g} %. Its verdict in {len(rulings)} runs: {said}; passed "
            f"{passed}. Unchanged problems beside it called slower: {others}."
        )


def planted_share(ruling):
    """How much slower the one problem was made: what was added, over what a call takes."""
    (label,) = ruling["new"]["backends"]
    of_deadline = float(label.partition("share=")[2].partition(",")[0])
    return of_deadline / late_by(slow_case(ruling))


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--folder", type=Path, required=True, help="where the runs are kept")
    parser.add_argument("--table", action="store_true", help="measure nothing, write RATES.md")
    parser.add_argument("--note", default="", help="a sentence on what else the machine did")
    for kind, count in COUNTS.items():
        parser.add_argument(f"--{kind}", type=int, default=count, metavar="N")
    asked = parser.parse_args()
    asked.folder.mkdir(parents=True, exist_ok=True)
    if not asked.table:
        unchanged(asked.folder, asked.aa)
        if asked.found or asked.below:
            effect, limit, late = sight(asked.folder)
            planted(asked.folder, "found", asked.found, 1.5 * effect, late)
            planted(asked.folder, "below", asked.below, (limit + effect) / 2, late)
    (HERE / "RATES.md").write_text(markdown(asked.folder, asked.note), encoding="utf-8")


if __name__ == "__main__":
    main()
