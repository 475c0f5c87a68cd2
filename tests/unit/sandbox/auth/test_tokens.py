"""Access tokens and their end."""

import pytest

from streamer.clock import TurnedClock
from streamer.sandbox.auth.tokens import IDLE_S, TokenIssuer


@pytest.fixture
def clock() -> TurnedClock:
    """A clock that stands still."""
    return TurnedClock()


@pytest.fixture
def tokens(clock: TurnedClock) -> TokenIssuer:
    """No sessions yet."""
    return TokenIssuer(clock, org_id="00DSb0000000001MAA")


def test_a_token_is_good_with_each_scheme_and_with_none(tokens: TokenIssuer) -> None:
    """`Bearer`, `OAuth` and the bare token open the session; another token does not."""
    token = tokens.issue(user_id="005", client_id="sandbox")
    given = [f"Bearer {token}", f"OAuth {token}", token, f"Bearer {token}x", "Bearer ", None]
    assert [tokens.valid(each) for each in given] == [True, True, True, False, False, False]


async def test_use_keeps_a_session_alive_and_idleness_ends_it(
    tokens: TokenIssuer, clock: TurnedClock
) -> None:
    """Two hours count from the last use."""
    token = tokens.issue(user_id="005", client_id="sandbox")
    await clock.turn(IDLE_S - 1)
    assert tokens.valid(token)
    await clock.turn(IDLE_S - 1)
    assert tokens.valid(token)
    await clock.turn(IDLE_S + 1)
    assert not tokens.valid(token)
    assert len(tokens) == 0


def test_revoking_ends_every_session_and_tells_who_listens(tokens: TokenIssuer) -> None:
    """The holder of a connection must check it again."""
    told: list[bool] = []
    token = tokens.issue(user_id="005", client_id="sandbox")
    tokens.listen(lambda: told.append(tokens.valid(token)))
    assert tokens.revoke_all() == 1
    assert told == [False]
