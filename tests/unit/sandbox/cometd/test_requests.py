"""Requirements of the endpoint on an HTTP request."""

from collections.abc import AsyncIterator
from typing import Any

import orjson
import pytest

from streamer.sandbox.bayeux import VERSION_MISSING, VERSION_UNSUPPORTED
from tests.unit.sandbox.cometd.conftest import Client, Streaming


@pytest.mark.parametrize(
    ("path", "error"),
    [
        ("", VERSION_MISSING),
        ("/", VERSION_MISSING),
        ("/latest", VERSION_MISSING),
        ("/36.0", VERSION_UNSUPPORTED),
    ],
)
async def test_version_in_the_path_is_checked(
    streaming: Streaming, client: Client, path: str, error: str
) -> None:
    """Only API versions from 37.0 on are served."""
    client.url = streaming.url + path
    response = await client.post([client.message("handshake")])
    [reply] = await response.json()
    assert (response.status, reply["error"]) == (400, error)
    assert not reply["successful"]


@pytest.mark.parametrize("path", ["/37.0", "/66.0/", "/66.0/handshake"])
async def test_path_may_end_in_a_slash_or_a_message_type(
    streaming: Streaming, client: Client, path: str
) -> None:
    """Browser clients append the type of the message to the path."""
    client.url = streaming.url + path
    assert (await client.handshake())["successful"]


async def test_single_object_is_as_good_as_an_array(subscribed: Client) -> None:
    """Bayeux allows a lone message; the answer is an array all the same."""
    response = await subscribed.post(subscribed.message("unsubscribe", subscription="/u/x"))
    [reply] = await response.json()
    assert reply["successful"]


async def test_content_type_is_required(client: Client) -> None:
    """A form post is not a Bayeux message."""
    response = await client.http.post(client.url, data={"message": "[]"})
    assert (response.status, response.content_type) == (415, "text/html")


async def test_request_over_32_kilobytes_is_refused(client: Client) -> None:
    """The limit comes from the documentation, in bytes."""
    response = await client.post([client.message("handshake", padding="x" * 32_768)])
    assert response.status == 413
    assert await response.text() == "413::Maximum Request Size Exceeded"
    fitting = await client.post([client.message("handshake", padding="x" * 32_000)])
    assert fitting.status == 200


async def test_request_without_a_length_has_the_same_limit(client: Client) -> None:
    """A chunked request is served while it is short."""

    async def padded(size: int) -> AsyncIterator[bytes]:
        yield orjson.dumps([client.message("handshake", padding="x" * size)])

    headers = {"Content-Type": "application/json"}
    answers = [await client.http.post(client.url, data=padded(n), headers=headers) for n in (10, 33_000)]
    assert [answer.status for answer in answers] == [200, 413]


@pytest.mark.parametrize("body", ["", "[", "[]", "[1]", "7", '{"channel"'])
async def test_body_without_json_is_a_bad_request(client: Client, body: str) -> None:
    """A body that is no JSON message gets an answer that is no JSON either."""
    response = await client.http.post(
        client.url, data=body.encode(), headers={"Content-Type": "application/json"}
    )
    assert (response.status, response.content_type) == (400, "text/html")


@pytest.mark.parametrize("channel", ["/data/ChangeEvents", "/meta/unheard", None, ["/meta/connect"]])
async def test_publishing_over_cometd_is_denied(subscribed: Client, channel: Any) -> None:
    """Events are published by REST; only the five meta channels take messages."""
    [reply] = await subscribed.send({"channel": channel, "id": "3", "data": {}})
    assert reply["error"] == "403:denied_by_security_policy:publish_denied"
    assert reply["id"] == "3"


async def test_authorisation_is_asked_on_every_request(subscribed: Client) -> None:
    """A session alone opens nothing, and does not outlive the refusal."""
    subscribed.token = None
    reply = await subscribed.subscribe("/data/ChangeEvents")
    assert reply["error"] == "401::Authentication invalid"
    assert reply["advice"] == {"reconnect": "none", "interval": 0}
    subscribed.token = "Bearer good"
    [reply] = await subscribed.connect()
    assert reply["error"] == "403::Unknown client"
