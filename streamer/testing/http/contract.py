"""What every plugin whose target speaks HTTP must do."""

from streamer.testing.http.answers import AnswerChecks
from streamer.testing.http.connections import ConnectionChecks
from streamer.testing.http.keys import KeyChecks


class HttpSubscriberContract(AnswerChecks, ConnectionChecks, KeyChecks):
    """Checks a plugin against a scripted target on this machine, which plays every answer that targets give.

    Set `plugin` and implement `settings`; the rest has defaults. Where your
    target means something else by a status, say so in `outcomes`.
    """
