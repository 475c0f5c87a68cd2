"""Lines for files and pipes: writes each whole, and turns an error of the system into an outcome."""

import errno
import os
import select
from typing import Literal

from streamer.cloud_events import data_of, document, nothing_to_send, written
from streamer.events import Delivery, FailureClass, Hold, Outcome, Reject, Retry, Skip
from subscribers.holds import RECHECK_S

Content = Literal["structured", "body"]
"""Content of a line: the CloudEvent with `body` as its data, or `body` alone."""

_WRITABLE_S = 1.0

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})

_USER = "let the daemon's user write there", FailureClass.REFUSED_CREDENTIALS
_FOLDER = "create its folder, or correct path", FailureClass.CONNECTION
_FILE = "let path name a file of its own", FailureClass.CONNECTION
_READER = "start the daemon with a reader", FailureClass.CONNECTION

# Remedy for an error that does not pass.
_ADVICE = {
    errno.EACCES: _USER,
    errno.EPERM: _USER,
    errno.EROFS: _USER,
    errno.ENOENT: _FOLDER,
    errno.ENOTDIR: _FOLDER,
    errno.ELOOP: _FOLDER,
    errno.EISDIR: _FILE,
    errno.ENXIO: _FILE,
    errno.EPIPE: _READER,
    errno.EBADF: _READER,
}


def line(delivery: Delivery, content: Content) -> bytes | Reject | Skip:
    """Return `delivery` as one line of JSON; a skip if the line would have no body."""
    if delivery.body == {}:
        return nothing_to_send()
    text = written(document(delivery) if content == "structured" else data_of(delivery))
    return text + b"\n" if isinstance(text, bytes) else text


class PartWritten(OSError):
    """A write failed after a part of the content was written."""


def write_whole(descriptor: int, content: bytes) -> None:
    """Write all of `content`, waiting while a pipe is full.

    Raises `OSError`, and `PartWritten` when some of it has been written.
    """
    rest = memoryview(content)
    while rest:
        try:
            rest = rest[os.write(descriptor, rest) :]
        except BlockingIOError:
            # Another program can have switched the pipe that we share with it to non-blocking.
            select.select([], [descriptor], [], _WRITABLE_S)
        except OSError as exc:
            if len(rest) < len(content):
                raise PartWritten(exc.errno, exc.strerror) from exc
            raise


def failure(error: OSError, where: str) -> Outcome:
    """Return the outcome of a write to `where`, such as a path, that ended with `error`.

    A full disk, like any temporary error, is a retry. A fault that an operator must
    correct holds the target; a name that is too long rejects the event.
    """
    words = error.strerror or type(error).__name__
    said = f"{where}: {words[:1].lower()}{words[1:]}"
    if error.errno in _FULL:
        return Retry(reason=f"{said}: free some, or write to another disk")
    if error.errno == errno.ENAMETOOLONG:
        return Reject(reason=said, hint="let path name something shorter", sent=False)
    if error.errno not in _ADVICE:
        return Retry(reason=said)
    advice, kind = _ADVICE[error.errno]
    return Hold(reason=f"{said}: {advice}", after_s=RECHECK_S, alert=True, failure=kind)
