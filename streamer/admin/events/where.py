"""Expressions by which a client chooses events, as subscribers do by `when`."""

from streamer.admin.errors import ApiError
from streamer.admin.events.tail import Admits
from streamer.dispatch.attempt.functions import Functions
from streamer.dispatch.attempt.route import Keys, RouteSource, compile_route
from streamer.errors import ConfigurationError
from streamer.events import SubscriberName
from streamer.settings import Settings

_WHERE = SubscriberName("where")


def compiled_where(expression: str, settings: Settings) -> Admits:
    """Return the test that `expression` is, with the lookup tables of `settings`.

    It knows no keys of hashes: with answers to expressions of one's own, a key
    could be used without being known. Raises `ApiError` 400 for a mistake.
    """
    try:
        route = compile_route(
            _WHERE, RouteSource(when=expression), mistake=_mistake, functions=Functions(settings.tables)
        )
    except ConfigurationError as error:
        raise ApiError(400, f"where: {error}.") from error
    return route.admits


def _mistake(_keys: Keys, sentence: str, detail: str) -> ConfigurationError:
    return ConfigurationError(f"{sentence}: {detail}")
