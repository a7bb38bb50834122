"""Two sides measured by turns in fresh processes: what ``attnbench ab`` does before it rules.

``sides`` says what a SIDE stands for, ``pairs`` which cases of two sides belong together,
``station`` is one side at work and ``rounds`` lets both work by turns.
"""

from __future__ import annotations

from attnbench.execute.ab.request import AbRequest
from attnbench.execute.ab.rounds import measure

__all__ = ["AbRequest", "measure"]
