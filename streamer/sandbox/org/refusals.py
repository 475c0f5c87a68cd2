"""Refusals of the org, in the form of Salesforce's APIs."""

from collections.abc import Sequence

# Refusals that come before a record is saved, and that name no fields.
_OF_THE_REQUEST = frozenset({"INVALID_FIELD", "INVALID_TYPE", "JSON_PARSER_ERROR", "NOT_FOUND"})


class Refused(Exception):
    """The org refuses a request, with the error code and message of Salesforce's APIs.

    `status` is the HTTP status of the REST answer. `is_of_save` is true if saving a
    record raised the refusal.
    """

    def __init__(self, code: str, message: str, *, status: int = 400, fields: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = status
        self.fields = tuple(fields)
        self.is_of_save = False

    def as_rest_error(self) -> dict[str, object]:
        """Return the element of a REST error list; for a save, it always has a list of fields."""
        error: dict[str, object] = {"message": self.message, "errorCode": self.code}
        names_fields = bool(self.fields) or (self.is_of_save and self.code not in _OF_THE_REQUEST)
        return error | ({"fields": list(self.fields)} if names_fields else {})

    def as_rest_errors(self) -> list[dict[str, object]]:
        """Return the body of the REST answer."""
        return [self.as_rest_error()]

    def as_save_error(self) -> dict[str, object]:
        """Return the element of a save result's `errors`."""
        return {"statusCode": self.code, "message": self.message, "fields": list(self.fields)}


def not_found() -> Refused:
    """Return the refusal of a record, type or resource that does not exist."""
    return Refused("NOT_FOUND", "The requested resource does not exist", status=404)


def field_in_body(name: str) -> Refused:
    """Return the refusal of a field that both the address and the body give."""
    return Refused("INVALID_FIELD", f"The {name} field should not be specified in the sobject data.")


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
