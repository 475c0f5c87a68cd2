"""`python -m tests.commands.server SOCKET`: forks processes of `streamer` on requests over a socket.

A request is JSON with `arguments`, `environ` and `folder`. It comes with four file
descriptors: the three standard streams, and one to which the server writes the
process id and then the exit status. The server ends when the other end of the socket
is closed.
"""

import gc
import os
import selectors
import signal
import socket
import sys
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import orjson

from streamer.__main__ import main
from streamer.cli.lazy import COMMANDS

_LONGEST = 1 << 20
# Imported on demand by those who use them, so not with the commands.
_LATER = ("streamer.log.kafka", "streamer.log.sqlite", "confluent_kafka", "grpc.aio")


@dataclass(frozen=True, slots=True)
class _Request:
    arguments: list[str]
    environ: dict[str, str]
    folder: str
    streams: list[int]


def serve(requests: socket.socket) -> _Request | None:
    """Fork for each request; return it in the new process, and `None` when no more can come."""
    with selectors.DefaultSelector() as selector:
        selector.register(requests, selectors.EVENT_READ)
        while True:
            for key, _ in selector.select():
                if key.data is not None:
                    _report(selector, key.fd, *key.data)
                    continue
                message, descriptors, _, _ = socket.recv_fds(requests, _LONGEST, 4)
                if not message:
                    return None
                request = _Request(**orjson.loads(message), streams=descriptors)
                pid = os.fork()
                if not pid:
                    _leave(selector, requests)
                    return request
                for stream in descriptors[:3]:
                    os.close(stream)
                report = descriptors[3]
                os.write(report, b"%d\n" % pid)
                selector.register(os.pidfd_open(pid), selectors.EVENT_READ, (pid, report))


def _report(selector: selectors.BaseSelector, descriptor: int, pid: int, report: int) -> None:
    """Tell the exit status."""
    _, status = os.waitpid(pid, 0)
    selector.unregister(descriptor)
    os.close(descriptor)
    with suppress(BrokenPipeError):
        os.write(report, b"%d\n" % os.waitstatus_to_exitcode(status))
    os.close(report)


def _leave(selector: selectors.BaseSelector, requests: socket.socket) -> None:
    """Close what belongs to the server."""
    for key in selector.get_map().values():
        if key.data is not None:
            os.close(key.fd)
            os.close(key.data[1])
    requests.close()


def become(request: _Request) -> None:
    """Take over what a new process is given."""
    for number, stream in enumerate(request.streams[:3]):
        os.dup2(stream, number)
    for stream in request.streams:
        os.close(stream)
    os.chdir(request.folder)
    for name in os.environ.keys() - request.environ.keys():
        del os.environ[name]
    os.environ.update(request.environ)
    sys.argv[1:] = request.arguments
    # A process that a shell starts with & ignores Ctrl-C, and so do its children.
    signal.signal(signal.SIGINT, signal.default_int_handler)


def _prepared() -> None:
    modules: dict[str, Any] = {each.place.partition(":")[0]: None for each in COMMANDS.values()}
    for module in (*modules, *_LATER):
        import_module(module)
    gc.collect()
    gc.freeze()


if __name__ == "__main__":
    _prepared()
    _given = serve(socket.socket(fileno=int(sys.argv[1])))
    if _given is not None:
        become(_given)
        main()
