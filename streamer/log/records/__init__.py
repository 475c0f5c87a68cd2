"""Values of the durable logs as JSON that a person can read.

Every record holds its version as `v`. A reader ignores unknown keys, so an older
Streamer reads the records of a newer Streamer. A new format that an older Streamer
could misread has a higher version, and the older Streamer then raises
`LogMisconfigured`. A replay id of printable ASCII is written unchanged; any other
replay id is written as `base64:…`.
"""

from streamer.log.records.continuity import decode_continuity, encode_continuity
from streamer.log.records.controls import (
    decode_audit,
    decode_control,
    decode_left_out,
    decode_position_order,
    decode_process_record,
    decode_redrive,
    decode_snapshot_order,
    encode_audit,
    encode_control,
    encode_left_out,
    encode_position_order,
    encode_process_record,
    encode_redrive,
    encode_snapshot_order,
)
from streamer.log.records.dead_letters import (
    LARGEST_LETTER,
    bounded,
    decode_dead_letter,
    decode_letter_head,
    decode_setback,
    encode_dead_letter,
    encode_setback,
    letter_head,
)
from streamer.log.records.events import (
    RECORD_START,
    VERSION,
    decode_checkpoint,
    decode_event,
    decode_receipt,
    encode_checkpoint,
    encode_event,
    encode_receipt,
    event_from_json,
)
from streamer.log.records.states import (
    decode_record_state,
    encode_last_change,
    encode_record_state,
    encode_state_data,
    record_state_data,
)

__all__ = [
    "LARGEST_LETTER",
    "RECORD_START",
    "VERSION",
    "bounded",
    "decode_audit",
    "decode_checkpoint",
    "decode_continuity",
    "decode_control",
    "decode_dead_letter",
    "decode_event",
    "decode_left_out",
    "decode_letter_head",
    "decode_position_order",
    "decode_process_record",
    "decode_receipt",
    "decode_record_state",
    "decode_redrive",
    "decode_setback",
    "decode_snapshot_order",
    "encode_audit",
    "encode_checkpoint",
    "encode_continuity",
    "encode_control",
    "encode_dead_letter",
    "encode_event",
    "encode_last_change",
    "encode_left_out",
    "encode_position_order",
    "encode_process_record",
    "encode_receipt",
    "encode_record_state",
    "encode_redrive",
    "encode_setback",
    "encode_snapshot_order",
    "encode_state_data",
    "event_from_json",
    "letter_head",
    "record_state_data",
]
