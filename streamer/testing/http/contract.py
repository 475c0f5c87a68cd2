"""Contract of every plugin whose target speaks HTTP."""

from streamer.testing.http.answers import AnswerChecks
from streamer.testing.http.connections import ConnectionChecks
from streamer.testing.http.keys import KeyChecks


class HttpSubscriberContract(AnswerChecks, ConnectionChecks, KeyChecks):
    """Checks of a plugin against a scripted target on this machine, which gives every kind of answer.

    Set `plugin` and implement `settings`; everything else has defaults. Where a
    status means something else at your target, set `outcomes`.
    """
