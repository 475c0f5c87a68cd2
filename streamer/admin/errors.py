"""Errors that the API answers with."""

from streamer.controls import Redrive


class ApiError(Exception):
    """Refusal of a request: an HTTP status, and a sentence for the operator."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status


def conflict(redrive: Redrive, what: str) -> ApiError:
    """Return the error for a request that conflicts with an open `redrive`; `what` is the predicate."""
    whose = redrive.letters.subscriber or redrive.letters.channel or "all subscribers"
    return ApiError(
        409,
        f"Redrive {redrive.id} of {whose} {what}: wait for its end, or cancel it with "
        f"`streamer deadletters cancel {redrive.id}`.",
    )
