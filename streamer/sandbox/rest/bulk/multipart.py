"""Multipart bodies, which create an ingest job and upload its rows in one request.

The source is the Bulk API 2.0 guide, Bulk Insert with a Multipart Request. The sandbox
chooses the error codes of refusals.
"""

from email.message import Message
from email.parser import BytesParser

from streamer.sandbox.rest.bulk.query_checks import unsupported

MULTIPART = "multipart/form-data"


def is_multipart(content_type: str) -> bool:
    """Return whether the Content-Type of a request declares a multipart form."""
    return content_type.partition(";")[0].strip().lower() == MULTIPART


def multipart_job(content_type: str, body: bytes, most: int) -> tuple[bytes, bytes]:
    """Return the parts `job`, in JSON, and `content`, in CSV.

    Raises `Refused` for a missing part, and for a CSV of more than `most` characters.
    """
    declared = content_type.encode(errors="replace")
    form = BytesParser().parsebytes(b"Content-Type: " + declared + b"\r\n\r\n" + body)
    parts = {_name(part): part.get_payload(decode=True) for part in form.walk() if not part.is_multipart()}
    job, content = parts.get("job"), parts.get("content")
    if not isinstance(job, bytes) or not isinstance(content, bytes):
        raise unsupported("A multipart request needs the parts job and content")
    if len(content.decode(errors="replace")) > most:
        raise unsupported(f"The content of a multipart request has more than {most} characters")
    return job, content


def _name(part: Message) -> str | None:
    name = part.get_param("name", header="Content-Disposition")
    return name if isinstance(name, str) else None
