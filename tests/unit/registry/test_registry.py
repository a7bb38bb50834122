from __future__ import annotations

import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

from attnbench.errors import BackendImportError, InputError, OptionError
from attnbench.plugin import Capabilities, Library
from attnbench.registry import BUILT_INS, Registry

HERE = Path()
BACKEND = '''"""A backend of one line."""
from attnbench.plugin import Capabilities, Library

capabilities = Capabilities(masks={"none", "causal"})


def prepare(inputs, *, stages: int = 2):
    return lambda: None
'''


@pytest.fixture
def registry():
    return Registry(entry_points=[])


@pytest.fixture
def write(tmp_path):
    def write(name, text=BACKEND):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True, parents=True)
        path.write_text(text, encoding="utf-8")
        return path

    return write


METADATA = "Metadata-Version: 2.1\nName: my-kernels\nVersion: 1.2\n"


class Distribution(metadata.Distribution):
    def read_text(self, filename):
        return METADATA if filename == "METADATA" else None

    def locate_file(self, path):
        return path


def entry_point(name, module):
    point = metadata.EntryPoint(name=name, value=module, group="attnbench.backends")
    vars(point).update(dist=Distribution())
    return point


@pytest.fixture
def plugin(write, tmp_path, monkeypatch):
    """An installed distribution my-kernels whose package says so when it is imported."""
    write("my_kernels/__init__.py", "raise SystemError('imported')\n")
    write("my_kernels/fast.py")
    monkeypatch.syspath_prepend(tmp_path)
    return Registry([entry_point("fast", "my_kernels.fast")])


def test_built_in_facts(registry):
    facts = registry.describe("sdpa", folder=HERE)

    assert (facts.name, facts.source) == ("sdpa", "built in")
    assert facts.options["kernel"].choices == ("auto", "math", "flash", "efficient", "cudnn")
    assert facts.options["kernel"].default == "auto"
    assert isinstance(facts.capabilities, Capabilities)
    assert facts.why_not is not None
    assert facts.about.startswith("PyTorch's own")


def test_an_unknown_name_says_the_nearest(registry):
    with pytest.raises(OptionError) as caught:
        registry.describe("naiv", folder=HERE)

    assert caught.value.message == "no backend 'naiv'"
    assert "did you mean 'naive'?" in caught.value.hint
    assert all(name in caught.value.hint for name in BUILT_INS)


def test_a_file_is_seen_from_the_folder(registry, write, tmp_path):
    path = write("kernels/my_attn.py")

    facts = registry.describe("./kernels/my_attn.py", folder=tmp_path)

    assert (facts.name, facts.source) == ("my_attn", str(path))
    assert len(facts.version) == 12
    assert int(facts.version, 16) >= 0
    assert facts.options["stages"].default == 2
    assert facts.capabilities is None
    assert facts.about == "A backend of one line."


def test_a_files_version_is_its_content(registry, write, tmp_path):
    write("a.py")
    write("b.py")
    write("c.py", BACKEND + "\n")

    versions = [registry.describe(f"{name}.py", folder=tmp_path).version for name in "abc"]

    assert versions[0] == versions[1] != versions[2]


def test_a_name_overrides_the_stem(registry, write, tmp_path):
    write("My-Attn.py")

    assert registry.describe("./My-Attn.py", folder=tmp_path, name="mine").name == "mine"
    with pytest.raises(InputError, match="'My-Attn' is no name for a backend"):
        registry.describe("./My-Attn.py", folder=tmp_path)


def test_only_a_file_can_be_renamed(registry):
    with pytest.raises(InputError, match="renames a file's backend"):
        registry.describe("sdpa", folder=HERE, name="other")
    assert registry.describe("sdpa", folder=HERE, name="sdpa").name == "sdpa"


def test_a_missing_file_is_named(registry, tmp_path):
    with pytest.raises(InputError, match=r"no backend file .*nowhere\.py"):
        registry.describe("./nowhere.py", folder=tmp_path)


def test_an_entry_point_is_read_and_not_imported(plugin):
    facts = plugin.describe("fast", folder=HERE)

    assert (facts.name, facts.source, facts.version) == ("fast", "my-kernels", "1.2")
    assert facts.options["stages"].default == 2
    assert "my_kernels" not in sys.modules


def test_two_backends_of_one_name_are_refused():
    registry = Registry([entry_point("sdpa", "elsewhere")])

    with pytest.raises(InputError, match="2 backends have the name 'sdpa': built in, my-kernels"):
        registry.describe("sdpa", folder=HERE)


def test_installed_entry_points_are_looked_up(monkeypatch):
    asked = []
    monkeypatch.setattr(metadata, "entry_points", lambda **wanted: asked.append(wanted) or ())

    Registry().describe("naive", folder=HERE)

    assert asked == [{"group": "attnbench.backends"}]


def test_loading_a_built_in_and_a_file(registry, write, tmp_path):
    write("my_attn.py", BACKEND + "from sibling import NUMBER\n")
    write("sibling.py", "NUMBER = 3\n")

    module = registry.load(registry.describe("./my_attn.py", folder=tmp_path))

    assert module.NUMBER == 3
    assert callable(module.prepare)
    assert registry.load(registry.describe("naive", folder=HERE)).__name__ == BUILT_INS["naive"]


def test_a_broken_import_says_where_and_what(registry, write, tmp_path):
    path = write("broken.py", BACKEND + "import no_such_module\n")

    with pytest.raises(BackendImportError) as caught:
        registry.load(registry.describe("./broken.py", folder=tmp_path))

    assert caught.value.message == (
        f"broken cannot be imported: {path}:9: "
        "ModuleNotFoundError: No module named 'no_such_module'"
    )
    assert caught.value.hint == "install the package that has no_such_module"


def test_an_import_that_ends_the_process_is_an_error_too(registry, write, tmp_path):
    write("leaves.py", BACKEND + "raise SystemExit(3)\n")

    with pytest.raises(BackendImportError, match=r"leaves.py:9: SystemExit: 3"):
        registry.load(registry.describe("./leaves.py", folder=tmp_path))


@pytest.mark.parametrize(
    ("last_line", "message"),
    [("capabilities = 3", "capabilities is no"), ("prepare = 3", "prepare is no function")],
)
def test_a_module_that_is_no_backend_after_all(registry, write, tmp_path, last_line, message):
    write("odd.py", f"{BACKEND}{last_line}\n")

    with pytest.raises(BackendImportError, match=message):
        registry.load(registry.describe("./odd.py", folder=tmp_path))


def test_loading_an_entry_point(write, tmp_path, monkeypatch):
    write("good_kernels.py")
    monkeypatch.syspath_prepend(tmp_path)
    registry = Registry([entry_point("good", "good_kernels")])

    assert registry.load(registry.describe("good", folder=HERE)).__name__ == "good_kernels"


def test_built_ins_are_listed_first(registry):
    rows = registry.listed()

    assert [row.name for row in rows] == list(BUILT_INS)
    assert all(row.capabilities is not None for row in rows)
    assert all(row.about.endswith(".") for row in rows)


def test_a_plugin_is_listed_without_being_imported(plugin):
    row = plugin.listed()[-1]

    assert (row.name, row.source, row.fault) == ("fast", "my-kernels", None)
    assert row.state == "not probed"
    assert "my_kernels" not in sys.modules


def test_a_probe_tells_what_plugins_can_do(plugin):
    facts = Capabilities(masks={"causal"}).to_dict()

    *_, row = plugin.listed(lambda known: {one.name: {"capabilities": facts} for one in known})
    *_, broken = plugin.listed(lambda _: {"fast": {"error": "no libcudart", "hint": None}})

    assert row.state == "ready"
    assert row.capabilities.masks == {"causal"}
    assert (broken.state, broken.fault) == ("broken: no libcudart", "no libcudart")


def test_a_broken_plugin_is_a_row(write, tmp_path, monkeypatch):
    write("bad_kernels.py", "def prepare(:\n")
    monkeypatch.syspath_prepend(tmp_path)

    row = Registry([entry_point("bad", "bad_kernels")]).listed()[-1]

    assert row.name == "bad"
    assert "bad_kernels.py:1: this is not Python" in row.fault


def test_a_plugin_whose_source_cannot_be_found_is_listed():
    row = Registry([entry_point("gone", "no_such_package.inside")]).listed()[-1]
    assert (row.name, row.state) == ("gone", "not probed")


def test_listing_imports_no_torch():
    program = (
        "from attnbench.registry import Registry; import sys; Registry().listed();"
        "assert 'torch' not in sys.modules and 'numpy' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


ADAPTERS = ["flash_attn", "flash_attn_3", "flash_attn_4", "flashinfer", "cudnn"]


def listed_adapters(registry, probe=None):
    return {row.name: row for row in registry.listed(probe) if row.library is not None}


@pytest.mark.torch  # without torch that is what is missing
def test_a_missing_library_is_reported_with_what_to_type(registry):
    rows = listed_adapters(registry)

    assert list(rows) == ADAPTERS
    for row in rows.values():
        assert row.version is None
        assert row.fault == f"{row.library.distribution} is not installed: {row.library.install}"
        assert row.state == f"{row.fault}; not yet run on a GPU"


@pytest.mark.torch  # without torch that is what is missing
def test_an_installed_library_is_reported_with_its_version(registry, monkeypatch):
    monkeypatch.setattr(Library, "version", lambda _: "9.9")

    row = listed_adapters(registry)["flash_attn"]

    written = f"(written for {row.library.checked})"
    assert row.state == f"flash-attn 9.9 {written}; not yet run on a GPU"
    assert (row.version, row.fault) == ("9.9", None)


@pytest.mark.torch  # without torch that is what is missing
def test_a_probe_imports_the_libraries_that_are_installed(registry, monkeypatch):
    monkeypatch.setattr(Library, "version", lambda one: "1" if one.module == "cudnn" else None)
    asked = []

    def probe(facts):
        asked.extend(one.name for one in facts)
        return {"cudnn": {"error": "ImportError: libcudnn.so.9"}}

    row = listed_adapters(registry, probe)["cudnn"]

    assert asked == ["cudnn"]
    assert row.state == "ImportError: libcudnn.so.9; not yet run on a GPU"


def test_committed_runs_say_on_which_gpu_an_adapter_has_run(registry, monkeypatch):
    ran = {"cudnn": ("NVIDIA H200",)}
    monkeypatch.setattr("attnbench.registry.recorded_gpus", lambda: ran)

    rows = listed_adapters(registry)

    assert rows["cudnn"].state.endswith("; run on NVIDIA H200")
    assert rows["flashinfer"].state.endswith("; not yet run on a GPU")
