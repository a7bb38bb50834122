"""What advice looks like, at 80 and at 120 columns, and what is said to a wrong question."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from attnbench.analysis.advise.document import schema_text
from attnbench.cli import advise as verb
from attnbench.errors import AttnbenchError

PLACE = Path(__file__).parents[1] / "unit" / "report" / "conftest.py"
SPEC = importlib.util.spec_from_file_location("report_runs", PLACE)
runs = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(runs)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A sweep, a run with everything that is doubtful, and one of a model's problems."""
    place = tmp_path_factory.mktemp("results")
    rows = list(runs.sweep(lengths=6, batches=(1, 8), heads=(32, 8)))
    runs.write(place / "sweep.parquet", rows)
    doubtful = []
    for length in (1024, 2048, 4096):
        problem = runs.decode(1, length, input_dist="zeros")
        for backend in ("sdpa", "a_backend_with_quite_a_long_name_of_its_own"):
            doubtful += runs.ok_rows(problem, backend, processes=1, notes=("NOISY",))
    doubtful.append(runs.other_row(runs.decode(1, 8192), "sdpa", "oom", "no room"))
    ragged = runs.decode(batch=None, kv_len=None, q_len=None, requests="2q1s1k_q512")
    doubtful += runs.ok_rows(ragged, "sdpa")
    runs.write(place / "doubtful.parquet", doubtful)
    shape = {"q_heads": 64, "kv_heads": 8}
    model = [
        *runs.ok_rows(runs.decode(8, 8192, **shape), "sdpa", latency_us=81.0),
        *runs.ok_rows(runs.prefill(8192, **shape), "sdpa", latency_us=2100.0),
    ]
    runs.write(place / "model.parquet", model)
    return place


@pytest.fixture
def call(folder, monkeypatch):
    """Call the verb in the folder; return its stdout."""
    monkeypatch.chdir(folder)
    for name in ("CI", "FORCE_COLOR", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)

    def run(*words, width=80):
        result = CliRunner().invoke(
            verb.command, words, env={"COLUMNS": str(width)}, standalone_mode=False
        )
        if result.exception is not None:
            raise result.exception
        return result.stdout

    return run


@pytest.mark.parametrize("width", [80, 120])
@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("advise", ("sweep.parquet",)),
        ("advise_doubtful", ("doubtful.parquet",)),
        (
            "advise_variants",
            ("--variants", "--model", "llama-3-70b", "--memory", "141GB", "model.parquet"),
        ),
    ],
)
def test_advice_on_a_screen(call, golden, name, words, width):
    text = call(*words, width=width)

    golden(f"{name}_{width}", text)
    assert max(map(len, text.splitlines())) <= width


def test_without_a_run_variants_are_priced_from_the_datasheet(call):
    text = call("--variants", "--model", "llama-3-70b", "--memory", "141GB", "--context", "8k")

    assert "rates of NVIDIA H200: 4.80 TB/s, 989 TFLOP/s (datasheet)" in text
    assert " m " not in text.split("context 8k")[1].split("attention alone")[0]


def test_the_same_advice_is_written_and_printed_as_json(call, tmp_path):
    path = tmp_path / "advice.json"
    text = call("sweep.parquet", "--json", "--out", str(path))

    assert json.loads(text) == json.loads(path.read_text(encoding="utf-8"))
    assert json.loads(text)["format"] == "attnbench.advice/1"


def test_variants_are_json_too(call):
    facts = json.loads(
        call("--variants", "--model", "llama-3-70b", "--json", "--context", "8k", "model.parquet")
    )

    own = next(one for one in facts["variants"] if one["own"])
    assert (own["variant"], own["kv_bytes_a_token"]) == ("GQA-8", 327_680)
    assert own["contexts"][0]["decode"]["source"] == "measured"
    assert own["contexts"][0]["decode"]["backends"] == ["sdpa"]
    assert facts["memory_bytes"] == runs.H200.memory_bytes


def test_the_schema_is_printed(call):
    assert json.loads(call("--schema")) == json.loads(schema_text())


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (("gone.parquet",), 2, "does not exist"),
        (("sweep.parquet", "-k", "backend=none"), 5, "no row matches"),
        (("sweep.parquet", "--model", "llama-3-70b"), 2, "--model requires --variants"),
        (("--variants",), 2, "--variants requires --model"),
        (("--variants", "--model", "lama-3-70b"), 2, "unknown model 'lama-3-70b'"),
        (("--variants", "--model", "llama-3-8b", "--memory", "lots"), 2, "is not a size"),
        (("--variants", "--model", "llama-3-8b", "--context", "8k,x"), 2, "--context"),
        (("--variants", "--model", "llama-3-8b", "--context", "0"), 2, "at least 1 token"),
        (("--variants", "--model", "llama-3-8b", "--dtype", "bf8"), 2, "--dtype is one of"),
        (("--variants", "--model", "llama-3-8b", "--device", "h900"), 4, "no datasheet"),
        (("--variants", "--model", "llama-3-8b", "--tp", "3"), 2, "--tp 3: 32 q_heads cannot be"),
        (
            ("--variants", "--model", "llama-3-8b", "--memory", "80GB", "--weights", "90GB"),
            *(2, "90.0 GB of weights leave nothing of 80.0 GB"),
        ),
        (("sweep.parquet", "--out", "model.parquet/advice.json"), 4, "model.parquet"),
    ],
)
def test_a_wrong_question_is_an_error_of_its_own(call, words, code, message):
    with pytest.raises(AttnbenchError, match=message) as raised:
        call(*words)

    assert raised.value.exit_code == code


def test_a_hostile_label_cannot_steer_the_terminal(call, folder):
    rows = [
        row
        for label in ("\x1b[31mred\x07", "日本語" * 20)
        for row in runs.ok_rows(runs.decode(), label)
    ]
    runs.write(folder / "hostile.parquet", rows)
    text = call("hostile.parquet")

    assert "\x1b" not in text
    assert "\x07" not in text
    assert "red" in text
