"""proton's tree, from a hand-made file after what triton 3.7 writes."""

from __future__ import annotations

from pathlib import Path

import pytest

from attnbench.errors import InputError
from attnbench.profile.tools import Proton

FILE = Path(__file__).parents[2] / "fixtures" / "profilers" / "proton.hatchet"


def test_leaves_of_one_name_are_summed_over_all_scopes():
    split, combine = Proton().read(FILE, {})

    assert (split.name, split.calls) == ("split_kernel", 3)
    assert split.total_s == pytest.approx(4.5e-6)
    assert (combine.name, combine.calls) == ("combine_kernel", 1)


@pytest.mark.parametrize("text", ["", "[]", "{}", '[{"frame": {}, "metrics": {"time (ns)": 1}}]'])
def test_a_file_that_is_no_tree_is_refused(tmp_path, text):
    path = tmp_path / "x.hatchet"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match="not what proton"):
        Proton().read(path, {})


def test_a_tree_without_a_kernel_is_refused(tmp_path):
    path = tmp_path / "x.hatchet"
    text = '[{"frame": {"name": "ROOT"}, "metrics": {}, "children": []}]'
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match="no kernel"):
        Proton().read(path, {})
