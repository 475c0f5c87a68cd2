"""Diffs of large texts are applied, and the result has the hash in the diff."""

import difflib
import hashlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamer.normalise.changes import LONGEST_TEXT, TextDiff
from streamer.sandbox.org.text_diff import text_diff

FORMER = "one\ntwo\nthree\nfour"

LINES = st.lists(st.text(st.characters(exclude_characters="\r\n", codec="utf-8"), max_size=8), max_size=12)
NEWLINES = st.sampled_from(["\n", "\r\n", "\r"])


def hashed(text: str) -> str:
    """Return the SHA-256 of `text`."""
    return hashlib.sha256(text.encode()).hexdigest()


def diff_to(new: str, *lines: str) -> str:
    """Return a diff of `lines` that names the hash of `new`."""
    return "".join(f"{line}\n" for line in ("--- ", f"+++ {hashed(new)}", *lines))


def applied(former: str, new: str, *lines: str) -> str | None:
    """Return what a diff of `lines` that leads to `new` makes of `former`."""
    diff = TextDiff.parse(diff_to(new, *lines))
    assert diff is not None
    return diff.applied_to(former)


def test_changed_line_is_replaced() -> None:
    """The form of the guide's example."""
    assert applied(FORMER, "one\n2\nthree\nfour", "@@ -2,1 +2,1 @@", "-two", "+2") == "one\n2\nthree\nfour"


@given(before=LINES, after=LINES, context=st.integers(0, 3), newline=NEWLINES)
def test_every_diff_of_difflib_leads_to_its_text(
    before: list[str], after: list[str], context: int, newline: str
) -> None:
    """Lines that come, go and stay, and empty ones, with any of the three newlines."""
    former, new = newline.join(before), newline.join(after)
    before, after = former.split(newline), new.split(newline)
    lines = list(difflib.unified_diff(before, after, lineterm="", n=context))[2:]

    assert applied(former, new, *lines) == new


@given(data=st.data(), newline=NEWLINES)
def test_every_diff_of_the_sandbox_leads_to_its_text(data: Any, newline: str) -> None:
    """The sandbox splits at line feeds alone, so other newlines stay in its lines."""
    before = [f"line {number} of a long text in a field" for number in range(60)]
    after = list(before)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(after) - 1))
        after[at : at + data.draw(st.integers(0, 2))] = data.draw(st.lists(st.just("new"), max_size=2))
    former, new = newline.join(before), newline.join(after)
    told = text_diff(former, new)
    if told is None:
        return
    diff = TextDiff.parse(told)

    assert diff is not None
    assert diff.applied_to(former) == new


@pytest.mark.parametrize("header", ["@@ -2,0 +3,1 @@", "@@ -3,0 +3,1 @@"])
def test_insertion_is_counted_from_either_line(header: str) -> None:
    """diff(1) names the line before it, Java's libraries the line after it; the hash decides."""
    new = "one\ntwo\ntwo and a half\nthree\nfour"

    assert applied(FORMER, new, header, "+two and a half") == new


@pytest.mark.parametrize(
    ("former", "new"),
    [
        ("one\r\ntwo\r\nthree", "one\r\n2\r\nthree"),
        ("one\rtwo\rthree", "one\r2\rthree"),
        ("one\ntwo\r\nthree", "one\n2\nthree"),
        ("one\ntwo\nthree", "one\r\n2\r\nthree"),
        ("one\r\ntwo\r\nthree", "one\n2\nthree"),
    ],
)
def test_newlines_are_those_of_the_hash(former: str, new: str) -> None:
    """A browser can change all of them, and a diff of lines does not show it."""
    assert applied(former, new, "@@ -2,1 +2,1 @@", "-two", "+2") == new


def test_note_of_a_missing_newline_is_passed_over() -> None:
    """diff(1) writes it below a last line."""
    note = "\\ No newline at end of file"

    assert (
        applied(FORMER, "one\ntwo\nthree\n4", "@@ -4 +4 @@", "-four", note, "+4", note)
        == "one\ntwo\nthree\n4"
    )


def test_text_that_is_new_already_stays() -> None:
    """The same event can be read again."""
    new = "one\n2\nthree\nfour"

    assert applied(new, new, "@@ -2,1 +2,1 @@", "-two", "+2") == new


@pytest.mark.parametrize("former", ["", "one", "one\n22\nthree\nfour", "one\ntwo\nthree\nFOUR"])
def test_other_former_text_leads_nowhere(former: str) -> None:
    """A changed line is noticed by the diff, any other by the hash."""
    assert applied(former, "one\n2\nthree\nfour", "@@ -2,1 +2,1 @@", "-two", "+2") is None


def test_counts_of_a_header_do_not_matter() -> None:
    """The lines say the same, and a count that lies reserves nothing."""
    header = "@@ -2,999999999 +999999999,0 @@"

    assert applied(FORMER, "one\n2\nthree\nfour", header, "-two", "+2") == "one\n2\nthree\nfour"


@pytest.mark.parametrize("headers", [("@@ -999999999,1 +1,1 @@",), ("@@ -3 +3 @@", "@@ -1 +1 @@")])
def test_place_that_does_not_exist_leads_nowhere(headers: tuple[str, ...]) -> None:
    """Beyond the end, or before the hunk that came before."""
    lines = [line for header in headers for line in (header, "-three", "+3")]

    assert applied("one\ntwo\nthree", "one\ntwo\n3", *lines) is None


def test_lone_surrogate_is_hashed_like_any_character() -> None:
    """JSON can hold one, UTF-8 can't."""
    assert applied("\ud800\ntwo", "2", "@@ -1,2 +1,1 @@", "-\ud800", "-two", "+2") == "2"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "@@",
        "--- ",
        "--- \n+++ ",
        "--- \n+++ abc\n",
        f"+++ {hashed('x')}\n--- \n",
        f"--- \n+++ {hashed('x')}\nno hunk\n",
        f"--- \n+++ {hashed('x')}\n@@ -1 +1 @@\n?what\n",
        f"--- \n+++ {hashed('x')}\n@@ -x +1 @@\n",
        f"--- \n+++ {hashed('x')}\n@@ -{'9' * 5000} +1 @@\n",
        f"--- \n+++ {hashed('x')}\n@@ -1 +1 @@\n+{'x' * LONGEST_TEXT}",
    ],
)
def test_what_is_no_diff_is_none(text: str) -> None:
    """Nothing is guessed, and nothing endless is worked on."""
    assert TextDiff.parse(text) is None


def test_former_text_that_is_too_long_leads_nowhere() -> None:
    """The time that a diff takes is bounded."""
    assert applied("x" * (LONGEST_TEXT + 1), "y", "@@ -1 +1 @@", f"-{'x' * 9}", "+y") is None


@given(
    former=st.text(st.sampled_from("ab\r\n"), max_size=12),
    body=st.lists(st.text(st.sampled_from("@-+ \\ab12,\r"), max_size=12), max_size=8),
)
def test_whatever_comes_is_refused_or_leads_to_the_hash(former: str, body: list[str]) -> None:
    """No bytes raise anything."""
    diff = TextDiff.parse(diff_to("a\nb", *body))
    value = diff.applied_to(former) if diff is not None else None

    assert value in (None, "a\nb")
