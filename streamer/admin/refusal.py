"""A request that the API does not carry out."""


class Refused(Exception):
    """The sentence that says why, and the status of HTTP that fits it."""

    def __init__(self, status: int, sentence: str) -> None:
        """Keep both for the answer."""
        super().__init__(sentence)
        self.status = status
