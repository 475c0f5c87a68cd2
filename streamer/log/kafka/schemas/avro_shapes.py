"""Writers of records that have the same fields in the same order, made once for each such shape.

The changes of a transaction, and the changes of an entity by one application, have a few
shapes. A function without loops and look-ups takes half the time of one for any shape.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from streamer.log.kafka.schemas.avro_values import FEW, WriteValue, write_long


class ShapeField(NamedTuple):
    """Field of a shape: its number in the schema, and what writes its value.

    `lengths` are the lengths of texts. Without them, `writers` write the values by their
    types, or `write_record` writes a record after all values, behind `branch`. A required
    field has no branch, which is the first byte of what `writers` return.
    """

    place: int
    lengths: Sequence[bytes] | None
    writers: Mapping[type, WriteValue]
    write_record: Callable[..., bytes] | None
    branch: bytes


Write = Callable[[dict[str, Any], Any], bytes]
"""Writes a record; the second argument collects what the record's fields do not hold."""


def shape_writer(fields: Sequence[ShapeField], count: int, counted: str, slow: Write) -> Write:
    """Return a function that writes records with exactly these fields, of `count` in the schema.

    If a value has another type than its field, the function calls `slow`, before it has
    changed its second argument. `counted` is a statement that notes a written record.
    """
    names: dict[str, Any] = {"join": b"".join, "long": write_long, "slow": slow, "kind": type, "dict": dict}
    code = "\n".join(["def write(data, rest):", *_lines(fields, count, counted, names)])
    # The code has only our own words and the numbers of fields.
    exec(compile(code, "<shape>", "exec"), names)  # noqa: S102 - see above
    write: Write = names["write"]
    return write


def _lines(fields: Sequence[ShapeField], count: int, counted: str, names: dict[str, Any]) -> Iterable[str]:
    yield "    try:"
    yield f"        ({''.join(f'v{number}, ' for number in range(len(fields)))}) = data.values()"
    checks: list[str] = []
    for number, each in enumerate(fields):
        if each.lengths is not None:
            names[f"l{number}"] = each.lengths
            yield f"        p{number} = v{number}.encode()"
            yield f"        n{number} = len(p{number})"
        elif each.write_record is not None:
            names[f"w{number}"] = each.write_record
            checks.append(f"kind(v{number}) is not dict")
        else:
            names[f"w{number}"] = each.writers
            yield f"        p{number} = w{number}[kind(v{number})](v{number})"
            checks.append(f"p{number} is None")
    yield "    except (AttributeError, KeyError, ValueError):"
    yield "        return slow(data, rest)"
    if checks:
        yield f"    if {' or '.join(checks)}:"
        yield "        return slow(data, rest)"
    if counted:
        yield f"    {counted}"
    yield f"    return join(({''.join(_pieces(fields, count))}))"


def _pieces(fields: Sequence[ShapeField], count: int) -> Iterable[str]:
    """Yield the expressions of the pieces, in the order of the schema; an absent field is a zero byte."""
    done = 0
    for number, each in sorted(enumerate(fields), key=lambda pair: pair[1].place):
        if each.place > done:
            yield f"{bytes(each.place - done)!r}, "
        done = each.place + 1
        if each.lengths is not None:
            long = f"l{number}[{FEW}] + long(n{number})"
            yield f"l{number}[n{number}] if n{number} < {FEW} else {long}, p{number}, "
        elif each.write_record is not None:
            yield f"{each.branch!r}, w{number}(v{number}, rest), "
        else:
            yield f"p{number}, " if each.branch else f"p{number}[1:], "
    yield f"{bytes(count - done)!r}, "
