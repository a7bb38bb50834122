"""Numbers about samples. No torch; the summary needs only the standard library."""
