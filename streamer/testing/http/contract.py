"""Contract of every plugin whose target speaks HTTP."""

from streamer.testing.http.answers import AnswerChecks
from streamer.testing.http.connections import ConnectionChecks
from streamer.testing.http.keys import KeyChecks


class HttpSubscriberContract(AnswerChecks, ConnectionChecks, KeyChecks):
    """Checks of a plugin with a scripted target, which runs on this machine and gives all kinds of answers.

    Set `plugin` and implement `settings`; everything else has defaults. If a status
    has another meaning at your target, set `outcomes`.
    """
