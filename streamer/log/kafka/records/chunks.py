"""What is cut in parts where it would be too large for a broker."""

PART_BYTES = 512 * 1024
"""Well below the 1 MB that brokers take by default."""

Place = tuple[int, ...]
"""The offsets at which the parts of one thing lie, in the order of the parts."""

_MISSING = -1


def parts_of(whole: bytes) -> list[bytes]:
    """Return `whole` in parts of at most `PART_BYTES`, in their order; small things are one part."""
    return [whole[start : start + PART_BYTES] for start in range(0, len(whole), PART_BYTES)]


def with_part(place: Place, part: int, offset: int, *, parts: int) -> Place:
    """Return `place` once a part, of so many `parts`, was found at `offset`."""
    if parts == 1:
        return (offset,)
    known = place if len(place) == parts else (_MISSING,) * parts
    return (*known[:part], offset, *known[part + 1 :])


def without_part(place: Place, part: int) -> Place:
    """Return `place` once a part is gone; nothing when it was the last."""
    known = tuple(_MISSING if number == part else offset for number, offset in enumerate(place))
    return known if any(offset != _MISSING for offset in known) else ()


def is_whole(place: Place) -> bool:
    """Whether all parts are there."""
    return _MISSING not in place
