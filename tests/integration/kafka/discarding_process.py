"""A process that discards its only producer in the middle of a transaction, and reports what is left.

`python -m tests.integration.kafka.discarding_process SETTINGS`, where SETTINGS is
the log's settings as JSON. The process prints "begun", waits for a line, and answers
with a line of JSON.
"""

import sys
import threading
import time
from pathlib import Path

import orjson

from streamer.log.kafka.cluster.clients import Clients
from streamer.log.kafka.cluster.errors import KafkaErrors
from streamer.log.kafka.cluster.producer import ProducerRecord
from streamer.log.kafka.cluster.transactions import TransactionFailed, Transactions
from streamer.settings import KafkaLogSettings

LIMIT_S = 8.0
RECORDS = [ProducerRecord(topic="t", value=b"x" * 500, key=b"k", partition=0, headers={})] * 5_000


def connected(settings: KafkaLogSettings) -> Transactions:
    """Return a producer that has its id."""
    configuration = {"transactional.id": "id"}
    transactions = Transactions(Clients(settings=settings), KafkaErrors(settings), configuration)
    transactions.begin(60)
    return transactions


def native_threads() -> list[str]:
    """Return the names of librdkafka's threads in this process."""
    names = [_name(task) for task in Path("/proc/self/task").iterdir()]
    return [name for name in names if name.startswith("rdk:")]


def _name(task: Path) -> str:
    try:
        return (task / "comm").read_text(encoding="utf-8").strip()
    except OSError:
        # It has ended since.
        return ""


def discarded(transactions: Transactions) -> dict[str, object]:
    """Fail in the midst of a transaction, and return what is left of the producer within `LIMIT_S`."""
    before = len(native_threads())
    try:
        transactions.write([RECORDS], time.monotonic() + 0.3)
    except TransactionFailed as exc:
        error = exc
    began = time.monotonic()
    # A thread that has ended may be listed a moment longer.
    while native_threads() and time.monotonic() < began + LIMIT_S:
        time.sleep(0.01)
    return {
        "before": before,
        "left": native_threads(),
        "discarding": [thread.name for thread in threading.enumerate() if thread.name == "kafka-discard"],
        "error_is_kept": error.__traceback__ is not None,
    }


def main() -> None:
    """Discard a producer when told to."""
    transactions = connected(KafkaLogSettings.model_validate_json(sys.argv[1]))
    sys.stdout.write("begun\n")
    sys.stdout.flush()
    sys.stdin.readline()
    sys.stdout.buffer.write(orjson.dumps(discarded(transactions)) + b"\n")


if __name__ == "__main__":
    main()
