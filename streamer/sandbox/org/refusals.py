"""Refusals of the org, in the form of Salesforce's APIs."""

from collections.abc import Sequence


class Refused(Exception):
    """The org refuses a request, with the error code and message of Salesforce's APIs.

    `status` is the HTTP status of the REST answer.
    """

    def __init__(self, code: str, message: str, *, status: int = 400, fields: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = status
        self.fields = tuple(fields)

    def as_rest_error(self) -> dict[str, object]:
        """Return the element of a REST error list."""
        error: dict[str, object] = {"message": self.message, "errorCode": self.code}
        return error | ({"fields": list(self.fields)} if self.fields else {})

    def as_rest_errors(self) -> list[dict[str, object]]:
        """Return the body of the REST answer."""
        return [self.as_rest_error()]

    def as_save_error(self) -> dict[str, object]:
        """Return the element of a save result's `errors`."""
        return {"statusCode": self.code, "message": self.message, "fields": list(self.fields)}


def not_found() -> Refused:
    """Return the refusal of a record, type or resource that does not exist."""
    return Refused("NOT_FOUND", "The requested resource does not exist", status=404)


def no_setup_access(needed: str) -> Refused:
    """Return the refusal of a user without the permission `needed`."""
    message = f"You do not have the level of access necessary to perform the operation: {needed}"
    return Refused("INSUFFICIENT_ACCESS", message, status=403)


def no_such_column(name: str, type_name: str) -> Refused:
    """Return the refusal of a field that a type or an event does not have."""
    return Refused("INVALID_FIELD", f"No such column '{name}' on sobject of type {type_name}")


def external_field_missing(name: str) -> Refused:
    """Return the refusal to look up a record by a field that its type does not have."""
    message = f"Provided external ID field does not exist or is not accessible: {name}"
    return Refused("NOT_FOUND", message, status=404)
