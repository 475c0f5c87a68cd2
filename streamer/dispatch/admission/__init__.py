"""Admission of attempts: pauses, circuit breaker, rate and concurrency."""
