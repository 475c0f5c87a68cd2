"""Identity of a user, as `/id` and OpenID Connect's `userinfo` return it (Help, identity URLs)."""

from typing import Any

from streamer.sandbox.access.user import User

_LANGUAGE, _ZONE = "en_US", "Etc/UTC"
_SOAP = {"enterprise": "Soap/c", "metadata": "Soap/m", "partner": "Soap/u", "tooling_soap": "Soap/T"}
_REST = {
    "rest": "",
    "sobjects": "sobjects/",
    "search": "search/",
    "query": "query/",
    "recent": "recent/",
    "tooling_rest": "tooling/",
    "feeds": "chatter/feeds",
    "feed_items": "chatter/feed-items",
    "feed_elements": "chatter/feed-elements",
    "groups": "chatter/groups",
    "users": "chatter/users",
}


def identity(user: User, org_id: str, user_id: str, url: str) -> dict[str, Any]:
    """Return the keys that both answers share; the client replaces `{version}` in an address by a version."""
    who = f"{url}/id/{org_id}/{user_id}"
    first, _, last = user.name.rpartition(" ")
    photos = {"picture": f"{url}/profilephoto/005/F", "thumbnail": f"{url}/profilephoto/005/T"}
    return {
        "sub": who,
        "id": who,
        "asserted_user": True,
        "user_id": user_id,
        "organization_id": org_id,
        "preferred_username": user.username,
        "username": user.username,
        "nickname": user.username.partition("@")[0],
        "nick_name": user.username.partition("@")[0],
        "name": user.name,
        "display_name": user.name,
        "given_name": first,
        "first_name": first,
        "family_name": last,
        "last_name": last,
        "email": user.username,
        "email_verified": True,
        "active": True,
        "user_type": "STANDARD",
        "language": _LANGUAGE,
        "locale": _LANGUAGE,
        "utcOffset": 0,
        "zoneinfo": _ZONE,
        "timezone": _ZONE,
        "photos": photos,
        "picture": photos["picture"],
        "profile": f"{url}/{user_id}",
        "is_app_installed": True,
        "urls": _urls(org_id, user_id, url),
    }


def _urls(org_id: str, user_id: str, url: str) -> dict[str, str]:
    soap = {name: f"{url}/services/{path}/{{version}}/{org_id}" for name, path in _SOAP.items()}
    rest = {name: f"{url}/services/data/v{{version}}/{path}" for name, path in _REST.items()}
    return {**soap, **rest, "profile": f"{url}/{user_id}", "custom_domain": url}
