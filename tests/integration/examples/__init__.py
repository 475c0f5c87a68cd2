"""The examples in `config/examples`, against the sandbox and receivers."""
