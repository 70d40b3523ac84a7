"""Time stamps on checkpoints, where the settings name an authority."""

from collections.abc import Awaitable, Callable
from pathlib import Path

import httpx

from callpoint.config.settings import Settings
from callpoint.lifecycle.services import Services
from callpoint.lifecycle.stamp import stamp


def stamper(
    settings: Settings, services: Services, client: httpx.AsyncClient
) -> Callable[[], Awaitable[object]] | None:
    """One pass of stamping; None where nobody is asked."""
    if not settings.stamp_url:
        return None
    from callpoint.adapters.timestamps.rfc3161 import Rfc3161Authority

    certificates = Path(settings.stamp_certificates)
    authority = Rfc3161Authority(settings.stamp_url, certificates, client, services.clock)

    async def once() -> object:
        return await stamp(services, authority)

    return once
