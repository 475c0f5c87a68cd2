"""JSON bodies of the control API."""

from collections.abc import Awaitable, Callable
from typing import Any

import orjson
from aiohttp import web
from pydantic import BaseModel, ConfigDict

Handler = Callable[[web.Request], Awaitable[web.Response]]


class Body(BaseModel):
    """Base of the bodies that requests have."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)


def answer(value: object, *, status: int = 200) -> web.Response:
    """Return a response with `value` as JSON."""
    return web.Response(body=orjson.dumps(value), status=status, content_type="application/json")


async def json_object(request: web.Request) -> dict[str, Any]:
    """Return the JSON object in the body of `request`, empty without a body; raises `ValueError`."""
    text = await request.read()
    body = orjson.loads(text) if text else {}
    if not isinstance(body, dict):
        raise ValueError("The body must be a JSON object.")  # noqa: TRY004 - all of these are answered alike
    return body
