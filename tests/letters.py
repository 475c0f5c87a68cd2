"""Dead letters of a log, as tests look at them."""

from streamer.events import DeadLetter
from streamer.ports import Controls


async def every_letter(controls: Controls) -> list[DeadLetter]:
    """Return the dead letters, whole and in the order of the log."""
    cursor = controls.letter_cursor()
    ids = [head.id async for head in cursor.heads()]
    found = {letter.id: letter async for letter in cursor.letters(ids)}
    return [found[id_] for id_ in ids if id_ in found]
