"""Memory that is known beforehand, read back from a row to the allocator's blocks of 512 bytes."""

from __future__ import annotations

import json

import pytest

pytestmark = [pytest.mark.gpu(rehearsable=True), pytest.mark.torch]

BLOCK = 512
# Below 1 MiB the allocator cuts blocks out of 2 MiB; above, out of 20 MiB and more, and leaves what
# is under 1 MiB uncut, so that sizes just below a multiple of 2 MiB would be that multiple.
WORKSPACES = (700_001, 1_048_576, 2_500_000, 64 * 2**20, 64 * 2**20 + 1)
KEPT = (0, 1, 513, 4 * 2**20 + 3)


def rounded(count: int, *, is_rehearsal: bool) -> int:
    """Bytes that the allocator holds for so many."""
    return count if is_rehearsal else -(-count // BLOCK) * BLOCK


def by_option(frame, option, column):
    return {json.loads(row["backend_options"]).get(option, 0): row[column] for row in rows(frame)}


def rows(frame):
    return [row for _, row in frame.iterrows()]


def test_a_workspace_is_known_to_the_block(place):
    frame = place.measured(f"SPACIOUS: {{options: {{workspace: {list(WORKSPACES)}}}}}")

    assert set(frame["status"]) == {"ok"}, frame["reason"].tolist()
    assert by_option(frame, "workspace", "workspace_bytes") == {
        one: rounded(one, is_rehearsal=place.is_rehearsal) for one in WORKSPACES
    }


def test_what_prepare_keeps_is_known_to_the_block_and_part_of_the_peak(place):
    frame = place.measured(f"SPACIOUS: {{options: {{workspace: 2500000, kept: {list(KEPT)}}}}}")

    assert set(frame["status"]) == {"ok"}, frame["reason"].tolist()
    assert by_option(frame, "kept", "prepared_bytes") == {
        one: rounded(one, is_rehearsal=place.is_rehearsal) for one in KEPT
    }
    for row in rows(frame):
        parts = ("input_bytes", "prepared_bytes", "workspace_bytes", "output_bytes")
        assert row["peak_bytes"] == sum(row[one] for one in parts)
