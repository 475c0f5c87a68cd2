"""Chains are checked when the configuration is read."""

from pathlib import Path

import pytest

from streamer.configuration import load, load_document
from streamer.configuration.effective import effective_configuration
from streamer.errors import ConfigurationError
from tests.unit.configuration.conftest import GOOD

HEAD = GOOD.partition("subscribers:")[0]


def written(tmp_path: Path, **subscribers: str) -> Path:
    """Write a configuration of subscribers with these keys beside `uses`, one a line from line 6 on."""
    path = tmp_path / "streamer.yaml"
    lines = [f"  {name}: {{uses: erp, {keys}}}" for name, keys in subscribers.items()]
    path.write_text("\n".join([f"{HEAD}subscribers:", *lines, ""]))
    return path


def refusals(tmp_path: Path, **subscribers: str) -> list[str]:
    """Return the lines with which such a configuration is refused, without file and line."""
    try:
        load(load_document([written(tmp_path, **subscribers)], {}))
    except ConfigurationError as error:
        return [line.partition(": ")[2] for line in str(error).splitlines()]
    return []


def test_subscriber_comes_after_one_or_several(tmp_path: Path) -> None:
    """By their names; it needs no event types of its own then."""
    loaded = load(
        load_document(
            [written(tmp_path, a='on: "*"', b="after: a", c='after: [a], on: "*", on_rejected: run')], {}
        )
    )

    assert [each.after for each in loaded.subscribers.values()] == [(), ("a",), ("a",)]


def test_subscriber_needs_event_types_or_another_before_it(tmp_path: Path) -> None:
    """Otherwise nothing would ever come to it."""
    assert refusals(tmp_path, a="when: id") == ["subscribers.a.on: is missing"]


@pytest.mark.parametrize(
    ("subscribers", "refusal"),
    [
        ({"b": "after: c"}, "subscribers.b.after: found 'c', but no subscriber has this name"),
        (
            {"b": "after: [invoise]", "invoice": 'on: "*"'},
            "subscribers.b.after.0: found 'invoise', but no subscriber has this name; did you mean invoice?",
        ),
        ({"b": "after: b"}, "subscribers.b.after: the subscriber can't come after itself: remove the name"),
        (
            {"b": "after: d", "c": "after: b", "d": "after: [c, a]"},
            (
                "subscribers.b.after: the subscriber comes after itself: b after d after c after b; "
                "remove one of these steps"
            ),
        ),
        ({"b": "after: [a, a]"}, "subscribers.b.after.0: a is named twice: remove one of the two"),
        (
            {"b": "after: a", "c": "after: [a, b]"},
            (
                "subscribers.c.after.0: b already comes after a, so remove a; "
                "expressions can read the receipt of a without it"
            ),
        ),
        (
            {"b": 'on: "*", on_rejected: run'},
            "subscribers.b.on_rejected: has no effect without after: set after, or remove this key",
        ),
        (
            {"b": "after: a, start: earliest"},
            (
                "subscribers.b.start: has no effect with after, because the subscriber begins with "
                "the first event that a forwards: remove this key"
            ),
        ),
    ],
)
def test_mistakes_name_the_subscribers(tmp_path: Path, subscribers: dict[str, str], refusal: str) -> None:
    """A cycle is spelled out, once."""
    found = refusals(tmp_path, a='on: "*"', **subscribers)

    assert found[:1] == [refusal]
    assert len(found) == 1 + ("[a, a]" in str(subscribers))


@pytest.mark.parametrize("section", ["[{a: {}}, []]", "7", "0.5", "text", "true"])
def test_subscribers_that_are_no_section_are_refused_by_a_sentence(tmp_path: Path, section: str) -> None:
    """Whatever stands there: its names can't be known."""
    path = tmp_path / "streamer.yaml"
    path.write_text(f"{HEAD}subscribers: {section}\n")

    with pytest.raises(ConfigurationError, match=r"subscribers: .*must be a section"):
        load(load_document([path], {}))


def test_what_check_prints_of_a_chain_reads_back(tmp_path: Path) -> None:
    """With the defaults of all keys written out, those beside `after` included."""
    document = load_document([written(tmp_path, a='on: "*"', b="after: a", c="after: [b]")], {})
    settings = load(document)
    printed = effective_configuration(settings, {}, document).replace("'***'", "sesame")
    (tmp_path / "printed.yaml").write_text(printed)

    assert load(load_document([tmp_path / "printed.yaml"], {})).subscribers == settings.subscribers
