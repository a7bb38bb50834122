"""Looking inside: what a case's kernels compile to, and what they do on a device."""
