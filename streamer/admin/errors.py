"""A request that the API does not carry out."""

from streamer.controls import Redrive


class ApiError(Exception):
    """The sentence that says why, and the status of HTTP that fits it."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status


def conflict(redrive: Redrive, what: str) -> ApiError:
    """Return the refusal for an open `redrive` that stands in the way; `what` says of it why."""
    whose = redrive.letters.subscriber or "all subscribers"
    return ApiError(
        409,
        f"Redrive {redrive.id} of {whose} {what}: wait for its end, or end it with "
        f"`streamer deadletters cancel {redrive.id}`.",
    )
