"""HTTP for plugins: connections, credentials, signatures, and the outcome of an answer."""

from subscribers.http.answer import Answer, OutcomeKind
from subscribers.http.auth import Auth, BearerAuth, NoAuth, checked_secret
from subscribers.http.settings import AddressSettings, HttpSettings, TargetSettings, checked_url
from subscribers.http.signing import Signing
from subscribers.http.subscriber import HttpSubscriber, RequestSubscriber
from subscribers.http.target import HttpTarget, Request, codes_in

__all__ = [
    "AddressSettings",
    "Answer",
    "Auth",
    "BearerAuth",
    "HttpSettings",
    "HttpSubscriber",
    "HttpTarget",
    "NoAuth",
    "OutcomeKind",
    "Request",
    "RequestSubscriber",
    "Signing",
    "TargetSettings",
    "checked_secret",
    "checked_url",
    "codes_in",
]
