"""Admission of delivery attempts: pauses, circuit breaker, rate limit and concurrency limit."""
