"""Two sides of a suite measured alternately in fresh processes, before the gate decides."""
