"""A cursor reads the heads of dead letters once, and later only what has changed."""

from collections.abc import Sequence
from dataclasses import replace
from hashlib import sha256

from streamer.controls import AuditRecord, can_be_ingested
from streamer.events import DeadLetter, LetterHead
from streamer.ports import LetterCursor
from tests.contracts.values import a_dead_letter, an_append, an_event, append_to
from tests.contracts.worlds import Log, World

AUDIT = AuditRecord(at=1.0, what="deadletters.discarded", by="operator")
LARGE = replace(a_dead_letter("large"), raw=b"x" * 1_500_000)


async def set_aside(log: Log, *letters: DeadLetter, redriven: Sequence[str] = ()) -> None:
    """Append dead letters, as ingest does."""
    await append_to(log, replace(an_append(), set_aside=letters, redriven=redriven))


async def heads(cursor: LetterCursor) -> list[LetterHead]:
    """Return what has come since."""
    return [head async for head in cursor.heads()]


async def test_heads_are_those_of_the_letters(world: World) -> None:
    """Each comes once, whatever its size."""
    letters = [a_dead_letter("a"), LARGE, a_dead_letter("b")]
    async with world.open() as log:
        await set_aside(log, *letters)
        assert await heads(log.controls.letter_cursor()) == [letter.head for letter in letters]


async def test_content_that_is_too_large_is_kept_in_part(world: World) -> None:
    """Its beginning, its size and its hash are kept, and no order tries to read it again."""
    payload = b"0123456789abcdef" * (60 * 1024 * 64)
    letter = replace(a_dead_letter("huge"), raw=payload)
    async with world.open() as log:
        await set_aside(log, letter, a_dead_letter("small"))
        cursor = log.controls.letter_cursor()
        head, small = await heads(cursor)
        [kept] = [letter async for letter in cursor.letters(["huge"])]

    assert (head.id, head.has_raw, can_be_ingested(head)) == ("huge", False, False)
    assert small == a_dead_letter("small").head
    assert kept.raw == payload[:65_536]
    assert (kept.whole_size, kept.whole_sha256) == (len(payload), sha256(payload).hexdigest())
    assert "can't be redriven" in kept.hint


async def test_event_that_a_log_can_store_stays_whole(world: World) -> None:
    """A letter of it can be redriven, whatever its size."""
    event = an_event("large", data={"entity": "Account", "fields": {"Text": "x" * 3_900_000}})
    letter = replace(a_dead_letter("whole"), event=event, raw=b"")
    async with world.open() as log:
        await set_aside(log, letter)
        cursor = log.controls.letter_cursor()
        assert await heads(cursor) == [letter.head]
        assert [letter async for letter in cursor.letters(["whole"])] == [letter]


async def test_later_call_yields_what_was_set_aside_since(world: World) -> None:
    """Nothing is read again that has not changed."""
    async with world.open() as log:
        cursor = log.controls.letter_cursor()
        assert await heads(cursor) == []
        await set_aside(log, a_dead_letter("a"), a_dead_letter("b"))
        assert [head.id for head in await heads(cursor)] == ["a", "b"]
        assert await heads(cursor) == []
        await set_aside(log, LARGE)
        await log.controls.discard(["a"], AUDIT)
        assert [head.id for head in await heads(cursor)] == ["large"]


async def test_letter_that_is_set_aside_again_comes_again(world: World) -> None:
    """It was redriven meanwhile, and its head describes the last failure."""
    again = a_dead_letter("a", error="second")
    async with world.open() as log:
        cursor = log.controls.letter_cursor()
        await set_aside(log, a_dead_letter("a"), a_dead_letter("b"))
        await heads(cursor)
        await set_aside(log, again, redriven=["a"])

        assert await heads(cursor) == [again.head]
        assert [letter async for letter in cursor.letters(["a"])] == [again]


async def test_letters_that_exist_are_read_by_their_ids(world: World) -> None:
    """Those that are gone are left out."""
    names = [f"{number:03d}" for number in range(40)]
    async with world.open() as log:
        cursor = log.controls.letter_cursor()
        await set_aside(log, *map(a_dead_letter, names), LARGE)
        await heads(cursor)
        await log.controls.discard(["001", "003"], AUDIT)
        wanted = ["large", *names[:5], names[-1]]

        assert await cursor.kept(wanted) == {"large", "000", "002", "004", "039"}
        found = {letter.id: letter async for letter in cursor.letters(wanted)}
        assert found == {name: a_dead_letter(name) for name in ("000", "002", "004", "039")} | {
            "large": LARGE
        }
        assert [letter async for letter in cursor.letters([])] == []
