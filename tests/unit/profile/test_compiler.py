from __future__ import annotations

import pytest

from attnbench.profile.compiler import numbered

pytestmark = pytest.mark.torch


def test_launches_of_one_kernel_are_numbered_in_a_baseline():
    names = ["turn_rows", "turn_rows", "flash_forward", "turn_rows"]

    assert numbered(names) == ["turn_rows", "turn_rows 2", "flash_forward", "turn_rows 3"]
