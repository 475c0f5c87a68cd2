"""Rate limit of each channel: one message a second, as Slack requires."""

from streamer.clock import Clock

# Number of channels above which idle channels are forgotten.
_REMEMBERED = 1_000


class ChannelRate:
    """Spaces messages to the same channel by `interval_s`; no delivery waits longer than `max_wait_s`."""

    def __init__(self, clock: Clock, *, interval_s: float, max_wait_s: float) -> None:
        self._clock = clock
        self._interval_s = interval_s
        self._max_wait_s = max_wait_s
        self._free_at: dict[str, float] = {}

    async def acquire(self, channel: str) -> float | None:
        """Wait for a turn in `channel` and return `None`.

        If the wait would be too long, return the length of the wait in seconds at
        once.
        """
        now = self._clock.monotonic()
        due = max(now, self._free_at.get(channel, now))
        if due - now > self._max_wait_s:
            return due - now
        if len(self._free_at) >= _REMEMBERED:
            self._free_at = {name: free for name, free in self._free_at.items() if free > now}
        self._free_at[channel] = due + self._interval_s
        if due > now:
            await self._clock.sleep(due - now)
        return None
