"""Deciding what to measure: sizes, predictions, memory limits and the stop rule; no torch."""
