"""Many cases: the plan, the runner and its worker processes. The parent imports no torch."""
