"""Faults of outbound messages."""

from streamer.sandbox.faults.armed import OUTBOUND
from streamer.sandbox.faults.arming import FaultCatalogue, Times


class OutboundFaults(FaultCatalogue):
    """Catalogue of these faults.

    `message` is the name of the affected message, and `None` means any message.
    """

    def lose_outbound_answer(self, *, message: str | None = None, times: Times = 1) -> None:
        """Act as if the next envelopes got no answer, so that they are sent again."""
        self._arm("lose_outbound_answer", (OUTBOUND,), times=times, path=message)

    def repeat_outbound(self, *, message: str | None = None, at_once: bool = False, times: Times = 1) -> None:
        """Send the next envelopes twice, one after the other or both `at_once`."""
        settings = {"at_once": at_once}
        self._arm("repeat_outbound", (OUTBOUND,), times=times, path=message, settings=settings)

    def wrong_outbound_org(self, *, message: str | None = None, times: Times = 1) -> None:
        """Send the next envelopes with the id of another organisation."""
        self._arm("wrong_outbound_org", (OUTBOUND,), times=times, path=message)

    def garble_outbound(self, *, message: str | None = None, times: Times = 1) -> None:
        """Send only half of each of the next envelopes."""
        self._arm("garble_outbound", (OUTBOUND,), times=times, path=message)
