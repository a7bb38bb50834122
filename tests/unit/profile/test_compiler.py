from __future__ import annotations

import pytest

from attnbench.profile.compiler import numbered

pytestmark = pytest.mark.torch


def test_launches_of_one_kernel_are_numbered_in_a_baseline():
    names = ["rotate_rows", "rotate_rows", "flash_forward", "rotate_rows"]

    assert numbered(names) == ["rotate_rows", "rotate_rows 2", "flash_forward", "rotate_rows 3"]
