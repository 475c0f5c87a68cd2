"""HTTP: listeners with or without TLS, and proxies and allowed addresses for clients."""
