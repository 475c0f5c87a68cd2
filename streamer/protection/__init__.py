"""Protection of fields: rules that drop, mask or hash values that must not be stored.

Pure functions over events. A value that a rule names is replaced before the
event is encoded, so no part after ingest ever has it.
"""

from streamer.protection.events import NotProtected, ProtectedEvents
from streamer.protection.rules import Rules, is_about_entity, names_field
from streamer.protection.treatments import (
    SEALED,
    FixedTreatment,
    WrongKey,
    key_id_of,
    keyed_digest,
    sealed,
    unsealed,
)

__all__ = [
    "SEALED",
    "FixedTreatment",
    "NotProtected",
    "ProtectedEvents",
    "Rules",
    "WrongKey",
    "is_about_entity",
    "key_id_of",
    "keyed_digest",
    "names_field",
    "sealed",
    "unsealed",
]
