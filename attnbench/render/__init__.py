"""Comparisons, rulings, tables and runs as text, JSON, Markdown and JUnit XML."""
