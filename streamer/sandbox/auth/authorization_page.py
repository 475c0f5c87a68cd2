"""Pages of a login in a browser: the question for access, and a request that can't be answered."""

import base64
import hashlib
from collections.abc import Iterable
from html import escape

from aiohttp import web

_STYLE = (
    "body{font:1rem/1.5 system-ui,sans-serif;color:#181818;background:#fff;margin:0}"
    "main{max-width:36rem;margin:3rem auto;padding:0 1rem;overflow-wrap:anywhere}"
    "button{font:inherit;display:block;width:100%;margin:0 0 .75rem;padding:.75rem 1rem;border-radius:.25rem;"
    "border:2px solid #0b5cab;background:#0b5cab;color:#fff;text-align:left;cursor:pointer}"
    "button.deny{background:#fff;color:#0b5cab}"
    "button:focus-visible{outline:3px solid #181818;outline-offset:2px}"
)
_STYLE_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
_HEADERS = {
    "Content-Security-Policy": (
        f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "Cache-Control": "no-store",
    # Without a referrer, the request of the page's form would have no origin to check.
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


def question(
    *,
    action: str,
    ticket: str,
    client: str,
    target: str,
    scopes: Iterable[str],
    users: Iterable[tuple[str, str]],
) -> web.Response:
    """Return the page that asks whether `client` gets access, with a button for each user.

    The browser sends the form to `action`, with the `ticket` of this page. `users` has
    the names of users by id. After the answer, the browser goes to the address
    `target`.
    """
    buttons = "".join(
        f'<button name="user" value="{escape(user_id)}">'
        f"Allow {escape(client)} access as {escape(username)}</button>"
        for user_id, username in users
    )
    asked = "".join(f"<li>{escape(scope)}</li>" for scope in scopes)
    return _page(
        "Allow access?",
        f"<p>The client <strong>{escape(client)}</strong> asks for access to this sandbox. "
        f"After your answer, the browser goes to <strong>{escape(target)}</strong>.</p>"
        f"<h2>Scopes</h2><ul>{asked}</ul>"
        f'<form method="post" action="{escape(action)}">'
        f'<input type="hidden" name="ticket" value="{escape(ticket)}">{buttons}'
        '<button class="deny" name="user" value="">Deny access</button></form>',
    )


def problem(error: str, description: str, *, status: int = 400) -> web.Response:
    """Return the page for a request after which the browser can't return to a client."""
    sentence = f"<p><code>error={escape(error)}</code></p><p>{escape(description)}</p>"
    return _page("The login can't continue", sentence, status=status)


def _page(title: str, body: str, *, status: int = 200) -> web.Response:
    text = (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<style>{_STYLE}</style></head><body><main><h1>{title}</h1>{body}</main></body></html>"
    )
    return web.Response(text=text, status=status, content_type="text/html", headers=_HEADERS)
