"""What a device is and how to ask it: one protocol, one module a kind."""
