"""Built-in backends: each a module like any plugin's, importable without torch."""
