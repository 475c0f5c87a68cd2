"""Pages of the current configuration, with masked secrets, and of the audit."""

import asyncio
import re
from collections.abc import Iterator
from dataclasses import dataclass

import yaml
from aiohttp import web
from markupsafe import Markup

from streamer.admin.schemas import Audited
from streamer.console.context import PageContext
from streamer.console.forms import filled
from streamer.observe.redaction import masked

# libyaml is ten times as fast, but PyYAML can be built without it.
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
# A configuration of many subscribers has thousands of these elements, so their names are short.
_MARKS = {
    "key": Markup("<i>{}</i>"),
    "text": Markup("<em>{}</em>"),
    "word": Markup("<var>{}</var>"),
}
_NO_TEXT = re.compile(r"true|false|null|~|[-+]?(?:\d[\d_]*)?\.?\d+(?:e[-+]?\d+)?", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigurationPages:
    """`/console/configuration`."""

    context: PageContext

    def routes(self) -> list[web.RouteDef]:
        """Return the routes of this page."""
        return [web.get("/configuration", self._show)]

    async def _show(self, request: web.Request) -> web.Response:
        # A large configuration takes a while to write.
        text = await asyncio.to_thread(lambda: highlighted(self.context.daemon.configuration()))
        return self.context.renderer.page(request, "configuration.html", title="Configuration", text=text)


def highlighted(text: str) -> Markup:
    """Return YAML as HTML with classes for keys, texts in quotes, and other values; secrets are masked."""
    text = masked(text, limit=len(text) + 1)
    try:
        return Markup("").join(_parts(text))
    except yaml.YAMLError:
        return Markup("{}").format(text)


def _parts(text: str) -> Iterator[Markup | str]:
    end, is_key = 0, False
    for token in yaml.scan(text, Loader=_LOADER):
        if isinstance(token, yaml.ScalarToken):
            begin, former, end = token.start_mark.index, end, token.end_mark.index
            kind = "key" if is_key else _kind(token)
            yield text[former:begin]
            scalar = text[begin:end]
            yield _MARKS[kind].format(scalar) if kind else scalar
        is_key = isinstance(token, yaml.KeyToken)
    yield text[end:]


def _kind(token: yaml.ScalarToken) -> str:
    if not token.plain:
        return "text"
    return "word" if _NO_TEXT.fullmatch(token.value) else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditPages:
    """`/console/audit`."""

    context: PageContext

    def routes(self) -> list[web.RouteDef]:
        """Return the routes of this page."""
        return [web.get("/audit", self._list)]

    async def _list(self, request: web.Request) -> web.Response:
        asked = filled(Audited, list(request.query.items()))
        records = (await self.context.resources.audit.records(asked))["records"]
        return self.context.renderer.page(
            request,
            "audit.html",
            title="Audit",
            records=records[::-1],
            asked=asked,
            names=list(self.context.daemon.configured.subscribers),
        )
