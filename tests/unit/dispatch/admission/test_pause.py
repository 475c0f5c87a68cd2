"""Pausing a subscriber."""

from streamer.dispatch.admission.pause import Pause


def test_pause_lasts_until_its_end() -> None:
    """The reason of the last one is told."""
    pause = Pause()
    assert (pause.lasts, pause.reason) == (False, "")
    pause.begin("by an operator")
    pause.begin("by the guard")
    assert (pause.lasts, pause.reason) == (True, "paused: by the guard")
    pause.end()

    assert (pause.lasts, pause.reason) == (False, "")
