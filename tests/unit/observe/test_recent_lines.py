"""The last log lines are kept for a support bundle."""

import io

from streamer.observe.logs import MOST_LINES, RecentLines


def test_lines_go_on_to_the_stream_and_the_last_ones_are_kept() -> None:
    """A daemon that runs for months must not keep them all."""
    stream = io.StringIO()
    recent = RecentLines(stream)
    for number in range(MOST_LINES + 5):
        recent.write(f"line {number}\n")

    assert len(recent.lines) == MOST_LINES
    assert (recent.lines[0], recent.lines[-1]) == ("line 5", f"line {MOST_LINES + 4}")
    assert stream.getvalue().count("\n") == MOST_LINES + 5


def test_huge_line_is_kept_in_part() -> None:
    """A traceback of megabytes must not stay in memory a thousand times."""
    recent = RecentLines(io.StringIO())
    recent.write("x" * 1_000_000 + "\n")

    assert [len(line) for line in recent.lines] == [4_096]
