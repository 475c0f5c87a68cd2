"""Contract of every plugin whose target speaks HTTP."""

from streamer.testing.http.answers import AnswerChecks
from streamer.testing.http.connections import ConnectionChecks
from streamer.testing.http.keys import KeyChecks


class HttpSubscriberContract(AnswerChecks, ConnectionChecks, KeyChecks):
    """Checks of a plugin against a scripted target on this machine that gives every kind of answer.

    Set `plugin` and implement `settings`; everything else has defaults. If a status
    has another meaning at your target, set `outcomes`.
    """
