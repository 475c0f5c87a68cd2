"""May the next attempt be sent? Pauses, circuit breaker, rate and concurrency."""
