"""Any result or exception of a plugin becomes a valid outcome."""

import asyncio
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from enum import StrEnum
from typing import Any, get_args

import pytest

from streamer.dispatch.delivery.foreign_values import kept
from streamer.dispatch.delivery.plugin_calls import outcome_of, outcomes_of
from streamer.errors import RetryLater
from streamer.events import (
    AttemptExchange,
    Delivered,
    Disable,
    FailureClass,
    Hold,
    Outcome,
    Reject,
    Retry,
    Skip,
)
from tests.unit.dispatch.world import ACCOUNTS, TARGET, ScriptedTarget, World

ANY: Any = None
DAY = 86_400.0

EXCHANGE = AttemptExchange(request="POST https://erp.example.com/", status=503)
OUTCOMES: list[Outcome] = [
    Delivered(answer={"id": "7"}),
    Retry(reason="503", after_s=7.5, answer="busy"),
    Retry(reason="500", failure=FailureClass.HTTP_5XX, exchange=EXCHANGE),
    Hold(reason="401", after_s=0.5, answer="slowly", alert=True, failure=FailureClass.RATE_LIMITED),
    Hold(reason="429", after_s=1.5, exchange=EXCHANGE),
    Reject(reason="400", exchange=EXCHANGE),
    Reject(reason="422", hint="mend it", answer="no", sent=False, failure=FailureClass.HTTP_4XX),
    Skip(reason="not ours", sent=False),
    Disable(reason="410", answer="gone", failure=FailureClass.HTTP_4XX),
]


class Word(StrEnum):
    """A reason, as a plugin may keep them."""

    BUSY = "busy"


class Unreadable:
    """Fails at whatever is asked of it."""

    def __repr__(self) -> str:
        """Fail."""
        raise ZeroDivisionError


class Fatal(BaseException):
    """Error that no `except Exception` catches."""


class Hostile(Skip):
    """Raises it at whatever is asked of it."""

    __slots__ = ()

    def __getattribute__(self, name: str) -> Any:
        """Fail at a field."""
        if name == "reason":
            raise Fatal
        return super().__getattribute__(name)


class Illegible:
    """Raises it when it is shown, counted or read."""

    def __repr__(self) -> str:
        """Fail."""
        raise Fatal

    def __iter__(self) -> Iterator[Any]:
        """Fail."""
        raise Fatal


class Gone(Mapping[str, Any]):
    """An answer that can't be read any more."""

    def __getitem__(self, key: str) -> Any:
        """Fail."""
        raise OSError("closed")

    def __iter__(self) -> Iterator[str]:
        """Fail."""
        raise OSError("closed")

    def __len__(self) -> int:
        """Return the number of its members."""
        return 1


class Mute(Exception):
    """An exception that can't say what it is."""

    def __str__(self) -> str:
        """Fail."""
        raise ZeroDivisionError


@dataclass(frozen=True, slots=True, kw_only=True)
class Throttled(Hold):
    """A plugin's own kind of outcome."""

    quota: int = 0


@pytest.mark.parametrize("outcome", OUTCOMES)
def test_outcome_as_it_should_be_stays_as_it_is(outcome: Outcome) -> None:
    """Each field of it, and of the same type."""
    assert outcome_of(outcome) == outcome
    assert type(outcome_of(outcome)) is type(outcome)


def test_every_field_of_every_outcome_is_tried() -> None:
    """A field that an outcome gets some day must not get lost on its way."""
    everything = {(kind, field.name) for kind in get_args(Outcome) for field in fields(kind)}
    told = {
        (type(each), field.name)
        for each in OUTCOMES
        for field in fields(each)
        if getattr(each, field.name) not in (field.default, {})
    }
    assert told == everything


def test_usual_delivery_is_not_copied() -> None:
    """There are thousands of them a second."""
    delivered = Delivered(answer={"id": "7"})
    assert outcome_of(delivered) is delivered


@pytest.mark.parametrize(
    ("returned", "expected"),
    [
        (Throttled(reason="429", after_s=3.0, quota=7), Hold(reason="429", after_s=3.0)),
        (Hold(reason="429", after_s=float("inf")), Hold(reason="429", after_s=DAY)),
        (Hold(reason="429", after_s=1e9), Hold(reason="429", after_s=DAY)),
        (Hold(reason="429", after_s=-5), Hold(reason="429", after_s=0.0)),
        (Retry(reason="503", after_s=1e9), Retry(reason="503", after_s=DAY)),
        (Reject(reason="422", answer=ANY), Reject(reason="422")),
        (Reject(reason=ANY, hint=ANY), Reject(reason="")),
        (Reject(reason="422", answer=b"n\xffo"), Reject(reason="422", answer="n�o")),  # type: ignore[arg-type] # a plugin's mistake
        (Retry(reason="x", failure="my_own_word"), Retry(reason="x")),  # type: ignore[arg-type] # a plugin's mistake
        (Reject(reason="x", failure=ANY), Reject(reason="x")),
        (Disable(reason=410), Disable(reason="410")),  # type: ignore[arg-type] # a plugin's mistake
        (Skip(reason=Word.BUSY), Skip(reason="busy")),
        (Skip(reason=Unreadable()), Skip(reason="The value, a Unreadable, can't be shown.")),  # type: ignore[arg-type] # a plugin's mistake
        (Skip(reason=Illegible()), Skip(reason="The value, a Illegible, can't be shown.")),  # type: ignore[arg-type] # a plugin's mistake
        (Hostile(reason="x"), Skip(reason="the outcome's reason can't be read")),
        (object.__new__(Skip), Skip(reason="the outcome's reason can't be read")),
        (Delivered(answer=[1]), Delivered(answer={"text": "[1]"})),  # type: ignore[arg-type] # a plugin's mistake
        (Delivered(answer=ANY), Delivered(answer={"text": "None"})),
    ],
)
def test_verdict_stands_however_odd_its_fields_are(returned: Any, expected: Outcome) -> None:
    """A delivered event must not be delivered again because of an answer's form."""
    outcome = outcome_of(returned)

    assert outcome == expected
    assert type(outcome) is type(expected)
    assert not any(isinstance(getattr(outcome, field.name), Word) for field in fields(outcome))


@pytest.mark.parametrize("after_s", [None, "soon", float("nan"), 10**400], ids=["None", "str", "nan", "int"])
@pytest.mark.parametrize("kind", [Hold, Retry])
def test_pause_that_is_no_number_makes_a_retry_that_says_so(kind: Any, after_s: Any) -> None:
    """Nobody knows how long it was to be, but a retry need not name a time."""
    outcome = outcome_of(kind(reason="429", after_s=after_s, answer="slowly"))

    assert isinstance(outcome, Retry)
    assert (outcome.after_s, outcome.answer) == (None, "slowly")
    if not (kind is Retry and after_s is None):
        what = f"a {kind.__name__} whose after_s is a {type(after_s).__name__} and not a number"
        assert outcome.reason == f"the plugin returned {what}"


@pytest.mark.parametrize(
    "returned", [None, "ok", Unreadable(), Retry, object.__new__(Hold), type("x" * 9_999, (), {})()]
)
def test_what_is_no_outcome_is_retried(returned: Any) -> None:
    """The event is not lost, and the plugin's author learns what it was."""
    outcome = outcome_of(returned)

    assert isinstance(outcome, Retry)
    assert outcome.reason.startswith("the plugin returned ")
    assert len(outcome.reason) <= 2_000


def test_texts_of_an_outcome_are_bounded() -> None:
    """They are kept in the log, for each event that fails."""
    long = "ü" * 1_000_000
    outcome = outcome_of(Reject(reason=long, hint=long, answer=long))

    assert isinstance(outcome, Reject)
    assert (len(outcome.reason), len(outcome.hint), len(outcome.answer.encode())) == (2_000, 2_000, 20_000)


@pytest.mark.parametrize(
    "returned",
    [
        Hold(reason="429", after_s=ANY),
        Throttled(reason="429", after_s=0.5),
        Reject(reason="422", answer=ANY),
        Reject(reason=ANY, answer=b"no"),  # type: ignore[arg-type] # a plugin's mistake
        Delivered(answer=Gone()),
        Delivered(answer={"it": Unreadable()}),
        Mute(),
    ],
    ids=["no pause", "subclass", "no answer", "bytes", "unreadable", "unreadable inside", "mute exception"],
)
async def test_odd_outcome_does_not_end_the_dispatcher(world: World, returned: Any) -> None:
    """One plugin's mistake must not stop what it delivers, let alone the others."""
    world.receipts = True
    world.target.answers["1"].append(returned)
    await world.append(1, 2)
    async with world.running():
        await world.turn(2)
        assert "2" in world.target.delivered
    assert world.progress.next_offset == 2


SECRETS = [
    ("https://user:hunter2@erp.acme.com/api", "hunter2"),
    ("Authorization: Bearer abc.hunter2", "hunter2"),
    ("INVALID_SESSION 00D5g000001AbCd!AQ8AQhunter2", "hunter2"),
]


@pytest.mark.parametrize(("text", "secret"), SECRETS)
async def test_secret_in_what_a_plugin_raises_is_not_kept(world: World, text: str, secret: str) -> None:
    """Neither with a parked event, nor in its dead letter: both can be read by others."""
    world.target.answers["1"].extend([OSError(f"can't reach {text} {'x' * 50_000}")] * 99)
    await world.append(1)
    async with world.running():
        await world.turn_until(lambda: bool(world.log.parked(TARGET, ACCOUNTS)), within_s=90)
        parked = repr(world.log.parked(TARGET, ACCOUNTS))
        await world.turn_until(lambda: bool(world.letters), within_s=90)

    [letter] = world.letters
    assert letter.error.startswith("the plugin raised OSError: can't reach ")
    assert secret not in repr(letter) + parked
    assert max(len(letter.error), len(letter.first_error)) < 2_100


@pytest.mark.parametrize(("text", "secret"), SECRETS)
async def test_secret_in_what_opening_raises_is_not_told(world: World, text: str, secret: str) -> None:
    """Whoever asks whether we are ready is told why not."""

    class Unopened(ScriptedTarget):
        async def __aenter__(self) -> Any:
            raise OSError(f"can't reach {text} {'x' * 50_000}")

    world.target = Unopened()
    with pytest.raises(RetryLater, match="subscriber target can't be opened: OSError: can't reach") as caught:
        await world.dispatcher().run(asyncio.Event())
    assert secret not in str(caught.value)
    assert len(str(caught.value)) < 2_100


def test_answer_that_ends_the_process_when_it_is_shown_is_kept_as_what_it_is() -> None:
    """Its receipt says which kind of value it was."""
    assert kept({"a": Illegible()}) == {"text": "The value, a dict, can't be shown."}
    assert all(isinstance(each, Retry) for each in outcomes_of(Illegible(), 2))
