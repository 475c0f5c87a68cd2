"""Replay ids that an operator names: those that Salesforce can't have given are refused."""

import re

from streamer.admin.errors import ApiError
from streamer.events import ReplayId
from streamer.replay_ids import LONGEST_BYTES, is_of_cometd, replay_id_from_text
from streamer.settings import Transport

_SEE = "`streamer checkpoint list` shows the stored ones."
_INTEGER = re.compile(r"0|[1-9][0-9]{0,18}", re.ASCII)
_BASE64 = "base64:"


def replay_id_of(text: str, transport: Transport) -> ReplayId:
    """Return the replay id of `text` for a channel that is read over `transport`.

    Over CometD it is an integer of at most 64 bits, as in Salesforce's own
    client. Over the Pub/Sub API it is opaque: 8 and 10 bytes have been seen, and
    any number of them up to 256 is taken. Raises `ApiError` 400 with what is
    expected.
    """
    if transport is Transport.COMETD:
        return _integer(text)
    return _bytes(text)


def _integer(text: str) -> ReplayId:
    if not _INTEGER.fullmatch(text):
        raise ApiError(
            400,
            "replay_id: must be an integer of at most 19 digits, without zeros in front: the channel is read "
            f"over CometD. {_SEE} New events and all retained ones have options of their own: `--latest` and "
            "`--earliest`.",
        )
    return ReplayId(text.encode())


def _bytes(text: str) -> ReplayId:
    try:
        replay_id = replay_id_from_text(text if text.startswith(_BASE64) else f"{_BASE64}{text}")
    except ValueError:
        raise ApiError(400, f"{_expected()} {_SEE}") from None
    if text.startswith(_BASE64) and 0 < len(replay_id) <= LONGEST_BYTES:
        if is_of_cometd(replay_id):
            raise ApiError(400, f"{_expected()} These bytes are the digits of an id of CometD. {_SEE}")
        return replay_id
    if 0 < len(replay_id) <= LONGEST_BYTES and not text.isdigit():
        raise ApiError(400, f"{_expected()} If those are its bytes, write {_BASE64}{text}. {_SEE}")
    raise ApiError(400, f"{_expected()} {_SEE}")


def _expected() -> str:
    return (
        f"replay_id: must be {_BASE64}… with 1 to {LONGEST_BYTES} bytes, as the ids of the Pub/Sub API are: "
        "the channel is read over pubsub."
    )
