"""Check that the login leads to the org whose channels the log holds."""

from collections.abc import Collection

from streamer.errors import OrgChanged
from streamer.events import OrgId, short_id


def check_org(org: OrgId, *, expected: str | None, known: Collection[OrgId]) -> None:
    """Raise `OrgChanged` unless `org`, that of the login, is the one that is meant.

    It must be the `expected` one, whose id can have 15 or 18 characters, or else
    one of the `known` orgs, whose checkpoints the log has. A log without
    checkpoints takes any org.
    """
    if expected is not None:
        if short_id(org) != short_id(expected):
            raise OrgChanged(
                f"org.auth logs in to the org {org}, and org.id says {expected}: correct org.login_url and "
                f"org.auth, or set org.id to {org} if that org is meant"
            )
    elif known and org not in known:
        names = " and ".join(sorted(known))
        raise OrgChanged(
            f"org.auth logs in to the org {org}, and the log was read from {names}: correct org.login_url "
            f"and org.auth or, if the org was refreshed or moved, set org.id to {org}; its channels then "
            "begin as their start says, because positions of another org mean nothing in it"
        )
