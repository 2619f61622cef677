"""Downloading a plan's file: find out where it is, then fetch it."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable
from pathlib import Path

import anyio

from ..api import plans as api
from ..api.plans import LocatePlanFile
from ..errors import api_error
from ..transport import WireRequest


class PlanDownloads(api.Plans):
    """What a product is sold as."""

    async def download_file(
        self,
        identifier: str,
        file_id: str,
        to: str | os.PathLike[str],
        *,
        on_progress: Callable[[int], None] | None = None,
    ) -> Path:
        """Download a plan's file to disk, piece by piece.

        Kelviq answers with the address of the file, which is fetched without any key. The file
        appears under its name only when all of it is there.
        Kelviq API: GET /catalog/plans/{identifier}/file/{pk}/download/.

        Args:
            identifier: Your short name of the plan.
            file_id: Kelviq's id of the file.
            to: Where to write it.
            on_progress: Called with the bytes written so far.

        Returns:
            The path written.

        Raises:
            NotFound: There is no such file.
            OSError: It cannot be written.
            KelviqError: Kelviq or its storage could not be reached.
        """
        place = await self._client.send(LocatePlanFile(identifier, file_id))
        target = Path(to)
        partial = target.with_name(f".{target.name}.{secrets.token_hex(4)}.part")
        written = 0
        try:
            async with await anyio.open_file(partial, "wb") as file:

                async def keep(part: bytes) -> None:
                    nonlocal written
                    await file.write(part)
                    written += len(part)
                    if on_progress is not None:
                        on_progress(written)

                answer = await self._client.carry(WireRequest("GET", place.url, {}), sink=keep)
            if not 200 <= answer.status < 300:
                raise api_error(answer.status, None)
            await anyio.to_thread.run_sync(os.replace, partial, target)
        finally:
            await anyio.Path(partial).unlink(missing_ok=True)
        return target
