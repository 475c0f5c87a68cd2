"""Headers of every answer: what a page can load, send and be shown in."""

from collections.abc import Mapping, Sequence

_SOURCES = (
    "default-src 'none'",
    "script-src 'self'",
    "style-src 'self'",
    "img-src 'self'",
    "connect-src 'self'",
    "form-action 'self'",
    "base-uri 'none'",
)


def security_headers(frame_ancestors: Sequence[str]) -> Mapping[str, str]:
    """Return the headers of every answer; only pages of `frame_ancestors` can show the console in a frame.

    A page loads nothing from elsewhere and runs no script but the console's own
    file. The browser keeps no copy. It tells other sites no address, and tells
    the console itself the origin of a form, which is checked.
    """
    ancestors = " ".join(frame_ancestors) or "'none'"
    policy = "; ".join([*_SOURCES, f"frame-ancestors {ancestors}"])
    headers = {
        "Content-Security-Policy": policy,
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "same-origin",
        "Cache-Control": "no-store",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Cross-Origin-Opener-Policy": "same-origin",
    }
    # Older browsers know no list.
    return headers if frame_ancestors else {**headers, "X-Frame-Options": "DENY"}
