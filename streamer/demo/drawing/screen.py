"""Live display of the demo on a terminal."""

from collections import deque
from collections.abc import Sequence

from rich.console import Console, ConsoleOptions, RenderResult
from rich.text import Text

from streamer.demo.drawing.frame import drawn, final
from streamer.demo.drawing.glyphs import Glyphs
from streamer.demo.drawing.picture import DemoPicture, narration
from streamer.demo.drawing.stations import stations
from streamer.demo.world import World

_HISTORY = 48
_KEPT_S = 300


class Screen:
    """Shows the chain with its counts and deals, the narration and the timeline.

    The display fills a terminal of any size. The demo runs for `for_s` seconds, or
    until it is interrupted. Once it `is_over`, it only waits for late deliveries.
    `pictures` has one picture for each second of the first five minutes.
    """

    def __init__(self, world: World, *, for_s: float | None, glyphs: Glyphs) -> None:
        self._world = world
        self._for_s = for_s
        self._glyphs = glyphs
        self.is_over = False
        self.pictures: list[DemoPicture] = []
        self._last = (0.0, 0)
        self._rates: deque[float] = deque(maxlen=_HISTORY)

    def tick(self) -> None:
        """Take in what has happened since the last tick."""
        self._world.observe()
        now, appended = self._world.timeline.elapsed_s, len(self._world.accounts.tally.appended_ids)
        then, before = self._last
        if now > then:
            self._rates.append((appended - before) / (now - then))
        self._last = (now, appended)
        if len(self.pictures) <= now < _KEPT_S:
            self.pictures.append(self.picture)

    @property
    def picture(self) -> DemoPicture:
        """Picture of this moment."""
        elapsed_s = self._world.timeline.elapsed_s
        due = self._world.accounts.report().due if self.is_over else None
        return DemoPicture(
            stations=stations(self._world, tuple(self._rates)),
            narration=narration(self._world.outage, elapsed_s, due=due),
            timeline=list(self._world.timeline.lines),
            console_url=self._world.console_url,
            elapsed_s=elapsed_s,
            for_s=self._for_s,
        )

    def last(self, width: int, height: int) -> Sequence[Text]:
        """Return the lines that stay on the terminal after the end."""
        return final(self.picture, width, height, self._glyphs)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield from drawn(self.picture, options.max_width, options.max_height, self._glyphs)
