"""Other projects' clients over https, each as a process that trusts what its environment names.

`python -m tests.integration.sandbox.https_client NAME URL` prints what the client received.
"""

import asyncio
import sys
from typing import Any

import aiohttp

CREDENTIALS = ("sandbox", "sandbox-secret", "bus@sandbox.example", "sandbox-password")


def simple_salesforce(url: str) -> str:
    """Log in with client credentials, create a contact and query it."""
    import requests
    from simple_salesforce.api import Salesforce

    form = {"grant_type": "client_credentials", "client_id": "sandbox", "client_secret": "sandbox-secret"}
    token = requests.post(f"{url}/services/oauth2/token", data=form, timeout=300).json()["access_token"]
    salesforce: Any = Salesforce(instance_url=url, session_id=token)
    salesforce.Contact.create({"LastName": "Berg"})
    return str(salesforce.query("SELECT LastName FROM Contact")["records"][0]["LastName"])


async def aiosfstream(url: str) -> str:
    """Log in with a password, subscribe, and receive a change; aiocometd-ng carries it."""
    from aiosfstream_ng import auth
    from aiosfstream_ng.client import Client

    # Stands in for DNS: this client knows no login host but Salesforce's own.
    auth.TOKEN_URL = f"{url}/services/oauth2/token"
    async with Client(auth.PasswordAuthenticator(*CREDENTIALS)) as client, aiohttp.ClientSession() as http:
        await client.subscribe("/data/ChangeEvents")
        async with http.post(f"{url}/sandbox/changes", json={"count": 1}) as response:
            response.raise_for_status()
        message = await client.receive()
    return str(message["data"]["payload"]["ChangeEventHeader"]["entityName"])


if __name__ == "__main__":
    name, url = sys.argv[1:]
    print(simple_salesforce(url) if name == "simple-salesforce" else asyncio.run(aiosfstream(url)))  # noqa: T201 - the answer for the test
