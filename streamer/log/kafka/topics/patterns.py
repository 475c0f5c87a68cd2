"""Topic subscriptions: expressions of the topics that can hold wanted events."""

import re
from collections.abc import Iterable, Iterator, Sequence

_STAR = "*"
_CHARACTERS = "[A-Za-z0-9_]*"
# A topic whose name begins with an underscore belongs to the broker.
_ANY_NAME = f"[A-Za-z]{_CHARACTERS}"
_TYPE_HEAD = "salesforce"
_KIND = 1
_NAME = 2


def topic_expressions(patterns: Sequence[str], template: str) -> tuple[str, ...]:
    """Return anchored regular expressions, as librdkafka subscribes to them, for event-type `patterns`.

    `template` names topics, with `{kind}` and `{name}`. A matching topic can
    hold no wanted event, but every wanted event is in a matching topic. A
    pattern that names its entity gives one topic, as an expression too: a plain
    topic that is missing would be an error.
    """
    # Of the characters allowed in a template, only the dot is special.
    escaped = template.replace(".", r"\.")
    found = (
        "^" + escaped.replace("{kind}", kind).replace("{name}", name) + "$"
        for kind, name in filter(None, map(_kind_and_name, patterns))
    )
    return tuple(dict.fromkeys(found))


def matching(topics: Iterable[str], expressions: Sequence[str]) -> Iterator[str]:
    """Yield those of `topics` that match any of `expressions`."""
    return (topic for topic in topics if any(re.match(expression, topic) for expression in expressions))


def _kind_and_name(pattern: str) -> tuple[str, str] | None:
    """Return expressions of the kinds and the names whose types can match, `None` when none can."""
    literal, star, _ = pattern.partition(_STAR)
    parts = literal.split(".")
    head_matches = parts[0] == _TYPE_HEAD or (star and len(parts) == 1 and _TYPE_HEAD.startswith(parts[0]))
    if not head_matches or not (star or len(parts) > _NAME):
        return None
    if any(re.fullmatch(_CHARACTERS, part) is None for part in parts[_KIND : _NAME + 1]):
        return None
    return _expression(parts, _KIND, bool(star)), _expression(parts, _NAME, bool(star))


def _expression(parts: Sequence[str], number: int, star: bool) -> str:  # noqa: FBT001 - read next to its callers
    if number >= len(parts):
        return _ANY_NAME
    # A part followed by a dot is complete; the star can continue the last one.
    whole = number < len(parts) - 1 or not star
    return parts[number] if whole else parts[number] + _CHARACTERS
