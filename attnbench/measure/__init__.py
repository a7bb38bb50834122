"""Measuring: one case in, one measurement out."""
