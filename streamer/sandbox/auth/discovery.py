"""OpenID Connect discovery document of the org, which needs no session."""

from aiohttp import web

from streamer.sandbox.auth.authorization import SCOPES
from streamer.sandbox.auth.connected_app import origin

_ENDPOINTS = {
    "authorization_endpoint": "/services/oauth2/authorize",
    "token_endpoint": "/services/oauth2/token",
    "revocation_endpoint": "/services/oauth2/revoke",
    "userinfo_endpoint": "/services/oauth2/userinfo",
    "jwks_uri": "/id/keys",
    "registration_endpoint": "/services/oauth2/register",
    "introspection_endpoint": "/services/oauth2/introspect",
}


def discovery_routes() -> list[web.RouteDef]:
    """Return the routes of the document and of the keys; the sandbox has no keys."""
    return [web.get("/.well-known/openid-configuration", _configuration), web.get("/id/keys", _keys)]


async def _configuration(request: web.Request) -> web.Response:
    url = origin(request)
    return web.json_response(
        {
            "issuer": url,
            **{name: url + path for name, path in _ENDPOINTS.items()},
            "scopes_supported": list(SCOPES),
            "response_types_supported": ["code"],
            "code_challenge_methods_supported": ["S256"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256"],
            "token_endpoint_auth_methods_supported": ["client_secret_post", "client_secret_basic"],
        }
    )


async def _keys(_request: web.Request) -> web.Response:
    return web.json_response({"keys": []})
