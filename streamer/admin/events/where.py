"""Expressions by which a client chooses events, as subscribers do by `when`."""

import jmespath

from streamer.admin.errors import ApiError
from streamer.admin.events.tail import Admits
from streamer.dispatch.attempt.bounds import copies
from streamer.dispatch.attempt.functions import Functions
from streamer.dispatch.attempt.route import Keys, RouteSource, compile_route
from streamer.errors import ConfigurationError
from streamer.events import SubscriberName
from streamer.settings import Settings

_WHERE = SubscriberName("where")

_MOST_COPIES = 16


def compiled_where(expression: str, settings: Settings) -> Admits:
    """Return the test that `expression` is, with the lookup tables of `settings`.

    It knows no keys of hashes: with answers to expressions of one's own, a key
    could be used without being known. It may make less of an event than a
    subscriber's, because it is evaluated between deliveries, for every event.
    Raises `ApiError` 400 for a mistake.
    """
    try:
        route = compile_route(
            _WHERE, RouteSource(when=expression), mistake=_mistake, functions=Functions(settings.tables)
        )
        is_too_much = copies(jmespath.compile(expression).parsed) > _MOST_COPIES
    except ConfigurationError as error:
        raise ApiError(400, f"where: {error}.") from error
    except RecursionError as error:
        raise ApiError(400, "where: is nested too deeply.") from error
    if is_too_much:
        raise ApiError(
            400,
            f"where: a value in it has more than {_MOST_COPIES} times what the event has; repeat less in it.",
        )
    return route.admits


def _mistake(_keys: Keys, sentence: str, detail: str) -> ConfigurationError:
    return ConfigurationError(f"{sentence}: {detail}")
