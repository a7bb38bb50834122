"""The measuring room: one case in, one measurement out."""
