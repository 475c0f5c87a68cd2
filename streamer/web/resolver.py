"""Resolver for HTTP clients that returns only allowed addresses."""

import socket

from aiohttp.abc import AbstractResolver, ResolveResult

from streamer.web.addresses import AddressRefused, AddressRule


class GuardedResolver(AbstractResolver):
    """Resolver that does not return addresses that a rule refuses.

    Raises `AddressRefused` for a name with only refused addresses.
    """

    def __init__(self, inner: AbstractResolver, rule: AddressRule) -> None:
        self._inner = inner
        self._rule = rule

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Return the allowed addresses of `host`."""
        found = await self._inner.resolve(host, port, family)
        refusals = {each["host"]: self._rule.refusal(each["host"]) for each in found}
        admitted = [each for each in found if refusals[each["host"]] is None]
        if found and not admitted:
            address, refusal = next(iter(refusals.items()))
            raise AddressRefused(f"{host} is at {address}, {refusal}")
        return admitted

    async def close(self) -> None:
        """Close the inner resolver."""
        await self._inner.close()
