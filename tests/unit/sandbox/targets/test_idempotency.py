"""The idempotency keys that a receiver stores."""

import orjson

from streamer.sandbox.targets.idempotency import IdempotencyStore


def test_key_is_acted_on_once() -> None:
    """A repeated key gets the first answer; with another request it is refused."""
    store = IdempotencyStore()
    numbers = iter(range(1, 9))

    answers = [
        store.once(key, {"amount": amount}, lambda: (201, {"number": next(numbers)}))
        for key, amount in (("a", 1), ("a", 1), ("a", 2), ("b", 1), (None, 1))
    ]

    assert [answer.status for answer in answers] == [201, 201, 422, 201, 400]
    assert [orjson.loads(answer.body).get("number") for answer in answers] == [1, 1, None, 2, None]  # type: ignore[arg-type] # bytes, here


def test_keys_are_forgotten_in_their_order() -> None:
    """The memory of keys is bounded."""
    store = IdempotencyStore(limit=2)
    for key in "abc":
        store.once(key, {}, lambda: (200, {}))

    assert store.once("a", {}, lambda: (201, {})).status == 201
    assert store.once("c", {}, lambda: (201, {})).status == 200
