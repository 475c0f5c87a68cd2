"""A user of the org: credentials, and permissions on types, fields and channels."""

from enum import StrEnum
from fnmatch import fnmatchcase
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator

from streamer.sandbox.org.schema import READ_ONLY

_OTHERS = "*"
# Every user of a Salesforce org can read these.
_OPEN = frozenset({"user", "organization"})


class ObjectPermission(StrEnum):
    """A right on a type; each right includes the right to read."""

    READ = "read"
    CREATE = "create"
    EDIT = "edit"
    DELETE = "delete"
    VIEW_ALL = "view_all"


class SetupRight(StrEnum):
    """A user's permissions on the org's setup, as the Tooling API and `/limits` serve it."""

    CUSTOMIZE = "customize"
    """View Setup and Configuration, and Customize Application."""
    VIEW = "view"
    """View Setup and Configuration."""
    NONE = "none"


class User(BaseModel):
    """One user.

    `objects` has the rights on types and platform events; the key `*` stands for all
    other types. If `objects` is `None`, the user has every right. Fields are written as
    `Account.Phone`. `channels` are patterns of the channels to which the user can
    subscribe. `setup` says what the user can see and change over the Tooling API;
    without it, the user also can't see the org's limits. With a `client_id` and a
    `client_secret`, the user can also log in with client credentials. A user without a
    `password` has the sandbox's password.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    username: Annotated[str, Field(min_length=1, max_length=80)]
    name: str = "Sandbox User"
    password: SecretStr | None = None
    client_id: str | None = None
    client_secret: SecretStr | None = None
    objects: dict[str, frozenset[ObjectPermission]] | None = None
    hidden_fields: frozenset[str] = frozenset()
    read_only_fields: frozenset[str] = frozenset()
    channels: tuple[str, ...] = ("*",)
    setup: SetupRight = SetupRight.CUSTOMIZE

    @field_validator("hidden_fields", "read_only_fields")
    @classmethod
    def _fields_can_be_protected(cls, names: frozenset[str]) -> frozenset[str]:
        for name in names:
            type_name, dot, field = name.partition(".")
            if not (type_name and dot and field):
                raise ValueError(f"{name!r} must name a type and a field, such as Account.Phone")
            if field in READ_ONLY:
                raise ValueError(
                    f"{name!r} is a system field: every user can read system fields, and no "
                    "user can write them"
                )
        return names

    @model_validator(mode="after")
    def _client_is_whole(self) -> Self:
        if (self.client_id is None) != (self.client_secret is None):
            raise ValueError("set both client_id and client_secret, or neither")
        return self

    @property
    def is_restricted(self) -> bool:
        """True unless the user can see and do everything."""
        rules = (self.objects is not None, self.hidden_fields, self.read_only_fields)
        return any(rules) or self.channels != ("*",)

    def may(self, type_name: str, right: ObjectPermission) -> bool:
        """Return whether the user has a right on a type or a platform event."""
        if self.objects is None or (right is ObjectPermission.READ and type_name.lower() in _OPEN):
            return True
        by_name = {name.lower(): rights for name, rights in self.objects.items()}
        rights = by_name.get(type_name.lower(), by_name.get(_OTHERS, frozenset()))
        return right in rights or (right is ObjectPermission.READ and bool(rights))

    def hides(self, type_name: str, field: str) -> bool:
        """Return whether the user can't see a field."""
        return _names(self.hidden_fields, type_name, field)

    def writes(self, type_name: str, field: str) -> bool:
        """Return whether the user's permissions allow writing a field."""
        return not _names(self.read_only_fields, type_name, field) and not self.hides(type_name, field)

    def may_subscribe(self, path: str) -> bool:
        """Return whether a pattern allows a channel."""
        return any(fnmatchcase(path, pattern) for pattern in self.channels)


def _names(protected: frozenset[str], type_name: str, field: str) -> bool:
    return bool(protected) and f"{type_name}.{field}".lower() in {name.lower() for name in protected}
