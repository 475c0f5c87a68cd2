"""Deals move along the chain, and the board knows which step each of them waits for."""

from streamer.demo.deals import Deal, DealBoard
from streamer.demo.scenario import INVOICE, SALES_CHANNEL, SHIPMENT, WRITE_BACK


def deal(record_id: str, *, is_big: bool = False) -> Deal:
    """Return a deal; only a big deal is announced in Slack."""
    steps = (INVOICE, SHIPMENT, WRITE_BACK, *([SALES_CHANNEL] if is_big else []))
    return Deal(record_id=record_id, name=f"{record_id} renewal", amount=1_000, steps=steps)


def test_deal_waits_for_one_step_after_the_other() -> None:
    """A deal that has taken its last step waits for nothing."""
    board = DealBoard()
    board.win(deal("006A"))
    for step in (INVOICE, SHIPMENT, WRITE_BACK):
        assert board.ids_waiting_for(step) == {"006A"}
        board.take(step, "006A")
        assert not board.ids_waiting_for(step)
        assert board.latest[step].record_id == "006A"

    assert not board.ids_waiting_for(SALES_CHANNEL)


def test_big_deal_is_announced_after_the_write_back() -> None:
    """Small deals do not wait for Slack."""
    board = DealBoard()
    board.win(deal("006A", is_big=True))
    for step in (INVOICE, SHIPMENT, WRITE_BACK):
        board.take(step, "006A")

    assert board.ids_waiting_for(SALES_CHANNEL) == {"006A"}


def test_oldest_deal_is_first() -> None:
    """The box of a target names the deals that wait longest."""
    board = DealBoard()
    for record_id in ("006B", "006A", "006C"):
        board.win(deal(record_id))

    assert [each.record_id for each in board.waiting_for(INVOICE)] == ["006B", "006A", "006C"]


def test_repeated_and_unknown_steps_move_no_deal() -> None:
    """A target can report a step twice, or a step of another demo's deal."""
    board = DealBoard()
    board.win(deal("006A"))
    board.take(INVOICE, "006A")
    board.take(INVOICE, "006A")
    board.take(SHIPMENT, "006Z")

    assert board.ids_waiting_for(SHIPMENT) == {"006A"}


def test_refused_deal_waits_no_longer() -> None:
    """Its dead letter is shown instead."""
    board = DealBoard()
    board.win(deal("006A"))
    board.take(INVOICE, "006A")
    board.end(SHIPMENT, "006A")

    assert not board.ids_waiting_for(SHIPMENT)
    assert board.won == 1
