"""Write results/gpus.json: on which GPUs each backend has ok rows in the committed runs.

    python adapters/ran_on.py

To be run when a run is committed below results/; a test says so where it was forgotten.
"""

from __future__ import annotations

import json
from pathlib import Path

from attnbench.store.committed import gpus_of_runs

RESULTS = Path(__file__).parents[1] / "results"


def main() -> None:
    """Write the file anew."""
    found = gpus_of_runs(RESULTS)
    path = RESULTS / "gpus.json"
    path.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    print(f"{path.name}: {len(found)} backends")


if __name__ == "__main__":
    main()
