"""HTTP: listeners with or without TLS, and the proxies and allowed addresses of clients."""
