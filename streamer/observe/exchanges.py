"""Sentences about the request and the answer of a failed attempt, for terminals and pages."""

from streamer.events import JsonObject


def exchange_lines(attempt: JsonObject) -> list[str]:
    """Return sentences about the request and the answer, as far as the log keeps them.

    `attempt` is a failed attempt, or a step of a timeline, in the form of the API.
    """
    exchange, answer = attempt.get("exchange"), attempt.get("answer")
    lines = [] if exchange is None else [_sent(exchange), _answered(exchange)]
    return [*lines, f"Answer: {answer}"] if answer else lines


def _sent(exchange: JsonObject) -> str:
    size, digest = exchange["size"], exchange["digest"]
    content = f"{size:,} {'byte' if size == 1 else 'bytes'}" if size else "no content"
    return f"Sent: {exchange['request']}, {content}" + (f", SHA-256 {digest}…" if digest else "")


def _answered(exchange: JsonObject) -> str:
    if exchange["status"] is None:
        return "Answered: nothing"
    headers = (f"{name}: {value}" for name, value in exchange["headers"].items())
    return "; ".join((f"Answered: status {exchange['status']}", *headers))
