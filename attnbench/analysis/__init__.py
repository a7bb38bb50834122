"""From rows to answers: tables of runs."""
