"""If the login leads to an unexpected org, nothing is read."""

import pytest

from streamer.errors import OrgChanged
from streamer.events import OrgId
from streamer.ingest.repairs import check_org

_ORG = OrgId("00D000000000001EAA")
_OTHER = OrgId("00D000000000002EAQ")


@pytest.mark.parametrize(
    ("expected", "known"),
    [
        (None, ()),
        (None, (_ORG,)),
        (None, (_OTHER, _ORG)),
        (_ORG, (_OTHER,)),
        (_ORG[:15], (_OTHER,)),
    ],
)
def test_org_that_is_meant_is_read(expected: str | None, known: tuple[OrgId, ...]) -> None:
    """A new log takes any org, and one that is named is meant, whatever the log has read before."""
    check_org(_ORG, expected=expected, known=known)


def test_org_that_the_log_does_not_know_is_refused_with_both_ways_on() -> None:
    """A refreshed sandbox, and credentials of another org, look alike."""
    with pytest.raises(OrgChanged) as refused:
        check_org(_ORG, expected=None, known={_OTHER})

    assert f"logs in to the org {_ORG}, but the events in the log come from {_OTHER}" in str(refused.value)
    assert "correct org.login_url and org.auth; or" in str(refused.value)
    assert f"set org.id to {_ORG}" in str(refused.value)


def test_org_that_is_not_the_configured_one_is_refused() -> None:
    """The case of an id counts."""
    swapped = _ORG.replace("D", "d")
    with pytest.raises(OrgChanged, match=f"org.id is {swapped}"):
        check_org(_ORG, expected=swapped, known={_ORG})
