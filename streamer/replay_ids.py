"""Replay ids as text, for records, logs and ids.

Printable ASCII stays as it is, and any other id becomes `base64:…`.
"""

import base64
import binascii

from streamer.events import ReplayId

LONGEST_BYTES = 256
"""Most bytes of a replay id that is taken from Salesforce, whose own have ten."""

_BASE64 = "base64:"


def replay_id_to_text(replay_id: ReplayId) -> str:
    """Return `replay_id` as text that `replay_id_from_text` reads."""
    if replay_id.isascii():
        text = replay_id.decode("ascii")
        if text.isprintable() and not text.startswith(_BASE64):
            return text
    # Every event of the Pub/Sub API passes here: this is half as expensive as base64.b64encode.
    return _BASE64 + binascii.b2a_base64(replay_id, newline=False).decode("ascii")


def replay_id_from_text(text: str) -> ReplayId:
    """Return the replay id that `replay_id_to_text` wrote; raises `ValueError`."""
    if text.startswith(_BASE64):
        return ReplayId(base64.b64decode(text[len(_BASE64) :], validate=True))
    return ReplayId(text.encode("ascii"))


def is_of_cometd(replay_id: ReplayId) -> bool:
    """Return true for a position that was read over CometD; only its own are decimal digits."""
    return replay_id.isdigit()


def optional_text(replay_id: ReplayId | None) -> str | None:
    """Return `replay_id`, if there is one, as text."""
    return None if replay_id is None else replay_id_to_text(replay_id)


def optional_replay_id(text: str | None) -> ReplayId | None:
    """Return the replay id of `text`, if there is one; raises `ValueError`."""
    return None if text is None else replay_id_from_text(text)
