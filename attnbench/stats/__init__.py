"""Numbers about samples. No torch; the summary needs the standard library alone."""
