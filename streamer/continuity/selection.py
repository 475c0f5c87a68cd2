"""Query for the records of a part, by the columns that its entity has now."""

from datetime import UTC, datetime

from streamer.continuity.progress import RecordSelection
from streamer.errors import RecordsRefused, UnreadableEvent
from streamer.normalise.records import RecordShape
from streamer.normalise.times import as_event_time
from streamer.ports import Describer, RecordQuery

TRANSACTION_S = 1_200.0
"""A record's stamp is the time of its save; its transaction can be committed ten minutes later."""

_STAMP, _MODIFIED = "SystemModstamp", "LastModifiedDate"


async def shape_of(part: RecordSelection, describer: Describer) -> RecordShape:
    """Return the columns to read for `part`.

    Raises what `describer` raises, and `UnreadableEvent` for a field that the
    entity does not have.
    """
    shape = RecordShape.of(await describer.describe(part.entity))
    if not part.fields:
        return shape
    try:
        return shape.limited_to(part.fields)
    except ValueError as error:
        raise UnreadableEvent(str(error)) from None


def query_of(part: RecordSelection, shape: RecordShape) -> RecordQuery:
    """Return the query for the records of `part`. Raises `RecordsRefused` when there can be none."""
    try:
        return RecordQuery(entity=part.entity, fields=shape.select, where=_condition(part, shape))
    except ValueError as error:
        raise RecordsRefused(f"{part.entity}: {error}", code="") from None


def time_text(epoch_s: float) -> str:
    """Return a time as SOQL and events write it."""
    return as_event_time(datetime.fromtimestamp(epoch_s, UTC))


def _condition(part: RecordSelection, shape: RecordShape) -> str:
    stamp = next((each for each in (_STAMP, _MODIFIED) if each in shape.select), None)
    if part.since is None or stamp is None:
        return part.where
    since = f"{stamp} >= {time_text(part.since - TRANSACTION_S)}"
    return f"({part.where}) AND {since}" if part.where else since
