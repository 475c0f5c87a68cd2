"""Lines for files and pipes: writes whole lines, and turns system errors into outcomes."""

import errno
import os
import select
from typing import Literal

from streamer.cloud_events import data_of, document, nothing_to_send, written
from streamer.events import Delivery, FailureClass, Hold, Outcome, Reject, Retry, Skip
from subscribers.holds import RECHECK_S

Content = Literal["structured", "body"]
"""Content of a line: the CloudEvent with `body` as its data, or only `body`."""

_WRITABLE_S = 1.0

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})

_USER = "give the daemon's user permission to write to this path", FailureClass.REFUSED_CREDENTIALS
_FOLDER = "create the folder of this path, or correct path", FailureClass.CONNECTION
_FILE = "set path to a regular file that nothing else writes to", FailureClass.CONNECTION
_READER = "start the daemon together with a program that reads the output", FailureClass.CONNECTION

# Remedies for errors that an operator must correct.
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
    """Return `delivery` as one line of JSON, or a skip if the body is empty."""
    if delivery.body == {}:
        return nothing_to_send()
    text = written(document(delivery) if content == "structured" else data_of(delivery))
    return text + b"\n" if isinstance(text, bytes) else text


class PartWritten(OSError):
    """A write failed after a part of the content was written."""


def write_whole(descriptor: int, content: bytes) -> None:
    """Write all of `content`; wait while a pipe is full.

    Raises `OSError`, and `PartWritten` if a part of the content was written before
    the error.
    """
    rest = memoryview(content)
    while rest:
        try:
            rest = rest[os.write(descriptor, rest) :]
        except BlockingIOError:
            # Another program that shares the pipe can have made it non-blocking.
            select.select([], [descriptor], [], _WRITABLE_S)
        except OSError as exc:
            if len(rest) < len(content):
                raise PartWritten(exc.errno, exc.strerror) from exc
            raise


def failure(error: OSError, where: str) -> Outcome:
    """Return the outcome of a write that failed with `error`; `where` names the file or the pipe.

    A full disk and any other temporary error is a retry. An error that an operator
    must correct holds the target. A name that is too long rejects the event.
    """
    words = error.strerror or type(error).__name__
    said = f"{where}: {words[:1].lower()}{words[1:]}"
    if error.errno in _FULL:
        return Retry(reason=f"{said}: free some space, or write to another disk")
    if error.errno == errno.ENAMETOOLONG:
        return Reject(reason=said, hint="shorten path", sent=False)
    if error.errno not in _ADVICE:
        return Retry(reason=said)
    advice, kind = _ADVICE[error.errno]
    return Hold(reason=f"{said}: {advice}", after_s=RECHECK_S, alert=True, failure=kind)
