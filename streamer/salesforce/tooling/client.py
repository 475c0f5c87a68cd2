"""Client of the Tooling API's objects for channels, and the execution of a plan.

Sources: Tooling API guide, PlatformEventChannel, PlatformEventChannelMember and
EnrichedField; CDC guide, event enrichment fields with Tooling API.
"""

import re
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any
from urllib.parse import quote

from streamer.errors import ConfigurationError, SalesforceUnavailable, StreamerError
from streamer.events import JsonObject, short_id
from streamer.salesforce.rest import RequestRefused, Rest
from streamer.salesforce.tooling.changes import Action, ChangePlan, SetupChange
from streamer.salesforce.tooling.refusals import SetupRefused, refused_change, refused_reading
from streamer.salesforce.tooling.setup import ChannelMember, ChannelSetup, CustomChannel, check_is_ours

_CHANNEL, _MEMBER = "PlatformEventChannel", "PlatformEventChannelMember"
_CHANNEL_COLUMNS = ("Id", "DeveloperName", "NamespacePrefix", "ChannelType", "MasterLabel")
_MEMBER_COLUMNS = ("Id", "DeveloperName", "NamespacePrefix", "EventChannel", "SelectedEntity")
_SINCE, _ENRICHMENT_SINCE, _FILTERS_SINCE = 47.0, 51.0, 56.0
_MOST_ROWS = 20_000
# Salesforce can give the id of a custom entity or field instead of its name. No name begins with a digit.
_ID = re.compile(r"\d[A-Za-z0-9]{14}(?:[A-Za-z0-9]{3})?", re.ASCII)


class Tooling:
    """Reads and changes the channels of one org.

    Every call raises the errors of `Rest`, except that a refusal by Salesforce
    becomes `SetupRefused`. The constructor raises `ConfigurationError` if the API
    version has no such objects.
    """

    def __init__(self, rest: Rest, *, api_version: str) -> None:
        self._rest = rest
        self._version = float(api_version)
        if self._version < _SINCE:
            raise ConfigurationError(_too_old("Streamer can manage channels", self._version, _SINCE))

    async def setup(self) -> ChannelSetup:
        """Return the custom channels, and the members of all channels."""
        try:
            return await self._setup()
        except RequestRefused as error:
            raise refused_reading(error) from error

    async def make(self, change: SetupChange) -> None:
        """Make one change.

        The call succeeds even if this or another client has already made the
        change. Raises `ConfigurationError` if the API version lacks the objects.
        """
        self.check(change)
        try:
            if isinstance(change.subject, CustomChannel):
                await self._make_channel(change.action, change.subject)
            else:
                await self._make_member(change.action, change.subject)
        except RequestRefused as error:
            refused = refused_change(str(change), error)
            if not (refused.missing and change.action is Action.DELETE):
                raise refused from error

    def check(self, change: SetupChange) -> None:
        """Raise `ConfigurationError` for Data 360's channel, and if the API version lacks the objects."""
        subject = change.subject
        check_is_ours(subject.name if isinstance(subject, CustomChannel) else subject.channel)
        if not isinstance(change.subject, ChannelMember) or change.action is Action.DELETE:
            return
        if change.subject.filter and self._version < _FILTERS_SINCE:
            raise ConfigurationError(_too_old("filters exist", self._version, _FILTERS_SINCE))
        if change.subject.enriched and self._version < _ENRICHMENT_SINCE:
            raise ConfigurationError(_too_old("enriched fields exist", self._version, _ENRICHMENT_SINCE))

    async def _setup(self) -> ChannelSetup:
        channels = [_channel(row) async for row in self._rows(_CHANNEL_COLUMNS, _CHANNEL)]
        names = {short_id(each.id): each.name for each in channels}
        columns = (*_MEMBER_COLUMNS, *(("FilterExpression",) if self._version >= _FILTERS_SINCE else ()))
        members = [_member(row, names) async for row in self._rows(columns, _MEMBER)]
        fields = await self._enriched()
        members = [replace(each, enriched=_sorted(fields.get(short_id(each.id), ()))) for each in members]
        named = [await self._named(each) for each in members]
        return ChannelSetup(channels=tuple(channels), members=tuple(named))

    async def _enriched(self) -> Mapping[str, list[str]]:
        """Return the enriched fields by member id."""
        fields: dict[str, list[str]] = {}
        if self._version >= _ENRICHMENT_SINCE:
            async for row in self._rows(("ChannelMemberId", "Field"), "EnrichedField"):
                member = short_id(_text(row, "ChannelMemberId"))
                fields.setdefault(member, []).append(_text(row, "Field"))
        return fields

    async def _named(self, member: ChannelMember) -> ChannelMember:
        """Return the member, with names instead of the ids in its metadata."""
        if not any(map(_ID.fullmatch, (member.selected, *member.enriched))):
            return member
        record = await self._rest.get(_path(_MEMBER, member.id))
        metadata = record.get("Metadata") if isinstance(record, dict) else None
        if not isinstance(metadata, dict):
            return member
        fields = metadata.get("enrichedFields")
        listed = fields if isinstance(fields, list) else ()
        names = _sorted(_text(each, "name") for each in listed if isinstance(each, dict))
        selected = _text(metadata, "selectedEntity") or member.selected
        return replace(member, selected=selected, enriched=names or member.enriched)

    async def _rows(self, columns: Sequence[str], source: str) -> AsyncIterator[JsonObject]:
        soql = f"SELECT {', '.join(columns)} FROM {source}"  # noqa: S608 - of constants
        count = 0
        async with aclosing(self._rest.query(soql, resource="tooling/query")) as rows:
            async for row in rows:
                count += 1
                if count > _MOST_ROWS:
                    raise SetupRefused(
                        f"The org returned more than {_MOST_ROWS:,} rows for the query: {soql}"
                    )
                yield row

    async def _make_channel(self, action: Action, channel: CustomChannel) -> None:
        if action is Action.DELETE:
            await self._rest.delete(_path(_CHANNEL, channel.id))
        else:
            metadata = {"channelType": channel.kind, "label": channel.label}
            await self._create(_CHANNEL, channel.name, metadata)

    async def _make_member(self, action: Action, member: ChannelMember) -> None:
        path = _path(_MEMBER, member.id)
        match action:
            case Action.CREATE:
                await self._create(_MEMBER, member.full_name, _metadata(member))
            case Action.CHANGE:
                # A change must send the whole definition, although only the filter and the fields can change.
                await self._rest.patch(path, {"FullName": member.full_name, "Metadata": _metadata(member)})
            case Action.DELETE:
                await self._rest.delete(path)

    async def _create(self, kind: str, full_name: str, metadata: JsonObject) -> None:
        path = f"tooling/sobjects/{kind}"
        answer = await self._rest.post(path, {"FullName": full_name, "Metadata": metadata})
        if isinstance(answer, dict) and answer.get("success") is False:
            code, message = _first_error(answer.get("errors"))
            raise RequestRefused(f"POST {path} failed: {code} {message}", status=400, code=code)


def _channel(row: JsonObject) -> CustomChannel:
    return CustomChannel(
        id=_text(row, "Id"),
        name=f"{_full_name(row).removesuffix('__chn')}__chn",
        kind=_text(row, "ChannelType").lower(),
        label=_text(row, "MasterLabel"),
    )


def _member(row: JsonObject, channels: Mapping[str, str]) -> ChannelMember:
    channel = _text(row, "EventChannel")
    return ChannelMember(
        id=_text(row, "Id"),
        full_name=_full_name(row),
        # Salesforce gives the id of a custom channel, but the name of the default channel.
        channel=channels.get(short_id(channel), channel),
        selected=_text(row, "SelectedEntity"),
        filter=_text(row, "FilterExpression") or None,
    )


def _path(kind: str, record_id: str) -> str:
    return f"tooling/sobjects/{kind}/{quote(record_id, safe='')}"


def _sorted(names: Iterable[str]) -> tuple[str, ...]:
    """Return the names sorted, because the order of enriched fields has no meaning."""
    return tuple(sorted(names))


def _full_name(row: JsonObject) -> str:
    prefix, name = _text(row, "NamespacePrefix"), _text(row, "DeveloperName")
    return f"{prefix}__{name}" if prefix else name


def _metadata(member: ChannelMember) -> JsonObject:
    metadata: dict[str, Any] = {"eventChannel": member.channel, "selectedEntity": member.selected}
    if member.enriched:
        metadata["enrichedFields"] = [{"name": name} for name in member.enriched]
    if member.filter:
        metadata["filterExpression"] = member.filter
    return metadata


def _first_error(errors: Any) -> tuple[str, str]:
    first = next(iter(errors), None) if isinstance(errors, Iterable) else None
    if not isinstance(first, dict):
        return "", str(first or "without a reason")[:500]
    return _text(first, "statusCode"), _text(first, "message")[:500]


def _text(row: JsonObject, key: str) -> str:
    value = row.get(key)
    return value if isinstance(value, str) else ""


def _too_old(what: str, version: float, since: float) -> str:
    return f"org.api_version is {version}, but {what} only since version {since}: raise org.api_version"


class Result(StrEnum):
    """Outcome of a change."""

    MADE = "made"
    NOT_MADE = "not made"
    UNCERTAIN = "uncertain"
    """The answer was lost, and the setup can't be read to find out whether the change was made."""
    NOT_TRIED = "not tried"
    """An earlier change failed for a reason that also affects this change."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeOutcome:
    """A change and its result, with the reason if it was not made."""

    change: SetupChange
    result: Result
    reason: str = ""


async def execute(tooling: Tooling, plan: ChangePlan) -> AsyncIterator[ChangeOutcome]:
    """Make the changes of a plan in order; yield the outcome of each change as soon as it is known.

    After a refusal, the other changes are still tried, unless the refusal is final.
    If the answer to a change was lost, the setup is read again to see whether the
    change was made.
    """
    is_over = False
    for change in plan.changes:
        if is_over:
            yield ChangeOutcome(change=change, result=Result.NOT_TRIED)
            continue
        try:
            await tooling.make(change)
        except StreamerError as error:
            is_over = not isinstance(error, SetupRefused) or error.is_final
            yield await _failed(tooling, change, error)
        else:
            yield ChangeOutcome(change=change, result=Result.MADE)


async def _failed(tooling: Tooling, change: SetupChange, error: StreamerError) -> ChangeOutcome:
    reason = str(error)
    is_in_doubt = isinstance(error, SalesforceUnavailable) or (
        # Another operator can have made the change first.
        isinstance(error, SetupRefused) and error.found
    )
    if not is_in_doubt:
        return ChangeOutcome(change=change, result=Result.NOT_MADE, reason=reason)
    try:
        made = change.is_made(await tooling.setup())
    except StreamerError:
        uncertain = isinstance(error, SalesforceUnavailable)
        return ChangeOutcome(
            change=change, result=Result.UNCERTAIN if uncertain else Result.NOT_MADE, reason=reason
        )
    return ChangeOutcome(
        change=change, result=Result.MADE if made else Result.NOT_MADE, reason="" if made else reason
    )
