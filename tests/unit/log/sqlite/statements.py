"""SQL statements of a log."""

from collections.abc import Sequence

from streamer.log.sqlite.database.worker import Worker


async def traced(*workers: Worker) -> list[str]:
    """Return a list that fills with the statements of `workers`."""
    statements: list[str] = []
    for worker in workers:
        await worker.submit(lambda connection: connection.set_trace_callback(statements.append))
    statements.clear()
    return statements


def transactions(statements: Sequence[str], about: str) -> list[str]:
    """Return the transactions in `statements` that contain `about`."""
    return [each for each in "\n".join(statements).split("COMMIT") if about in each]
