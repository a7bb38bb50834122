"""One case under a profiler."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attnbench.api.loading import QUICK, load_suite

if TYPE_CHECKING:
    from attnbench.profile.one_case import ProfileRequest
    from attnbench.profile.profiled import Profiled
    from attnbench.suite import Suite


def profile(
    suite: str | Path | Suite = QUICK,
    *,
    tool: str = "torch",
    device: str = "auto",
    backends: Sequence[str] = (),
    overrides: Sequence[str] = (),
    filter: str | None = None,
    out: str | Path | None = None,
) -> Profiled:
    """Call the one case that is selected once under a profiler: ``torch``, ``ncu`` or ``proton``.

    ``out`` is the file that the profiler leaves. No run is read or written.

    Raises:
        AttnbenchError: see ``attnbench.errors`` for the tree.

    """
    from attnbench.profile.one_case import profile_case

    request = profile_request(
        suite,
        tool=tool,
        device=device,
        out=out,
        backends=backends,
        overrides=overrides,
        filter=filter,
    )
    return profile_case(request)


def profile_request(
    suite: str | Path | Suite = QUICK,
    *,
    tool: str = "torch",
    device: str = "auto",
    out: str | Path | None = None,
    **choice: Any,
) -> ProfileRequest:
    """Say what ``profile`` would do, and do nothing; ``choice`` is what ``load_suite`` takes.

    Raises:
        AttnbenchError: see ``attnbench.errors`` for the tree.

    """
    from attnbench.profile.one_case import ProfileRequest, the_one_case, tool_named

    chosen = tool_named(tool)
    loaded = load_suite(suite, **choice)
    return ProfileRequest(
        case=the_one_case(loaded),
        settings=loaded.measure,
        tool=chosen,
        device=device,
        out=None if out is None else Path(out),
    )
