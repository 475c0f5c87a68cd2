"""Pages have as many rows as fit into memory."""

from streamer.ports import RecordQuery
from streamer.salesforce.queries.soql import PageSizes

NARROW = RecordQuery(entity="Account", fields=("Id", "Name"))
WIDE = RecordQuery(entity="Account", fields=("Id", *(f"F{number}__c" for number in range(799))))


def test_wide_records_come_in_smaller_pages() -> None:
    """Cells take memory, however short they are."""
    sizes = PageSizes()

    assert sizes.rows(NARROW, 50_000) == 50_000
    assert sizes.rows(NARROW, 100) == 100
    assert sizes.rows(WIDE, 50_000) == 250


def test_page_that_was_too_large_is_halved_and_grows_again() -> None:
    """Slowly, so that one request in ten is in vain at most; other queries keep their size."""
    sizes = PageSizes()
    sizes.was_too_large(NARROW, 1_000)
    assert sizes.rows(NARROW, 1_000) == 500

    for _ in range(5):
        sizes.was_read(NARROW)

    assert 800 < sizes.rows(NARROW, 1_000) < 1_000
    assert sizes.rows(WIDE, 200) == 200
    sizes.was_too_large(NARROW, 1)
    assert sizes.rows(NARROW, 1_000) == 1


def test_sizes_of_many_queries_are_forgotten() -> None:
    """A daemon lives for long."""
    sizes = PageSizes()
    for number in range(1_000):
        sizes.was_too_large(RecordQuery(entity=f"A{number}__c", fields=("Id",)), 100)

    assert len(sizes._rows) <= 256
    assert sizes.rows(RecordQuery(entity="A999__c", fields=("Id",)), 100) == 50
