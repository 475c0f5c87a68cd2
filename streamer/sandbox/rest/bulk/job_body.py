"""Body that describes a job; query and ingest jobs share it."""

from typing import Any

from streamer.sandbox.org.field_values import rest_value, timestamp
from streamer.sandbox.org.schema import Field
from streamer.sandbox.rest.bulk.ingest_jobs import IngestJob
from streamer.sandbox.rest.bulk.jobs import QueryJob

_TIME = Field(name="time", type="datetime")


def job_body(job: QueryJob | IngestJob, operation: str, type_name: str) -> dict[str, Any]:
    """Return the body of the answer to a job's creation."""
    request = job.request
    return {
        "id": job.id,
        "operation": operation,
        "object": type_name,
        "createdById": request.user_id,
        "createdDate": rest_value(_TIME, timestamp(job.created_at)),
        "systemModstamp": rest_value(_TIME, timestamp(job.changed_at)),
        "state": job.state.value,
        "concurrencyMode": "Parallel",
        "contentType": "CSV",
        "apiVersion": float(request.version),
        "lineEnding": request.format.line_ending,
        "columnDelimiter": request.format.delimiter,
    }
