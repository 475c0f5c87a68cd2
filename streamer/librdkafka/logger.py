"""Log lines of librdkafka."""

from streamer.later import LaterLogger

_log = LaterLogger()


class LibraryLogger:
    """Receives librdkafka's log lines, which otherwise go to standard error.

    The important ones reach the client's `error_cb` as well, once.
    """

    def __init__(self) -> None:
        self._last = ""

    def log(self, _level: int, _template: str, facility: str, client: str, line: str) -> None:
        """Log a line, unless it repeats the last one; librdkafka calls this as `logging.Logger.log`."""
        if line != self._last:
            _log.debug("kafka.client_said", facility=facility, client=client, line=line)
        self._last = line
