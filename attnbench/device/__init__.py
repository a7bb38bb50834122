"""What a device is and how to query it: one protocol, one module per kind."""
