"""Each event once: who handles it now, and which ones are done."""

from __future__ import annotations

import enum
import hashlib
import secrets
from typing import Final

import attrs

from ..config import checked_seconds
from ..errors import ConfigError
from ..stores import Store

KEEP: Final = 7 * 24 * 60 * 60.0
LAPSE: Final = 90.0

_DONE: Final = b"done"
_ATTEMPTS: Final = 3


class Taken(enum.Enum):
    """Why an event cannot be claimed."""

    DONE = "done"
    """It was handled; there is nothing left to do."""
    HELD = "held"
    """Somebody is handling it at this moment, or died while doing so and its claim has yet to lapse."""


@attrs.frozen
class Claim:
    """The right to handle one event, until it lapses.

    Attributes:
        key: Where the store has it.
        token: What tells this claim from every other one on the same event.
    """

    key: str = attrs.field(repr=False)
    token: bytes = attrs.field(repr=False)


class ReplayGuard:
    """Sees to it that an event which comes twice is handled once.

    An event is claimed, and then committed when its handlers are through, or released when they
    failed. A claim whose process died lapses by itself. Each claim has a token of its own: one that
    lapsed and was taken over can neither commit nor release the claim of its successor.

    This makes a second run rare, not impossible: a process can die after its handlers finished
    and before it commits. Handlers that must never act twice need a transaction of their own.

    Args:
        store: Where claims are kept. Processes that share the work need to share the store.
        keep: How many seconds a handled event is remembered. None is for ever. It should exceed
            twice the router's tolerance, or what is old enough to be forgotten may still be new
            enough to be accepted.
        lapse: After how many seconds a claim counts as abandoned. Longer than your slowest handler
            takes, as otherwise a second one may start beside it; shorter than the three minutes
            within which Kelviq sends again by itself, as otherwise an event whose process died is
            only seen again when you resend it by hand.
        scope: Name of what handles events here. Applications that share a store and each want all
            events need different ones.

    Raises:
        ConfigError: ``keep`` or ``lapse`` is not a positive number of seconds.
    """

    def __init__(
        self, store: Store, *, keep: float | None = KEEP, lapse: float = LAPSE, scope: str = ""
    ) -> None:
        seconds = checked_seconds(lapse, "lapse")
        if seconds is None:
            raise ConfigError("lapse must be a number of seconds: an abandoned claim would block for ever")
        self._store = store
        self._keep = checked_seconds(keep, "keep")
        self._lapse = seconds
        self._scope = scope

    @property
    def lapse(self) -> float:
        """After how many seconds a claim counts as abandoned."""
        return self._lapse

    async def claim(self, event_id: str) -> Claim | Taken:
        """Try to become the one who handles an event.

        Args:
            event_id: The event's id, which stays the same however often it is sent.

        Returns:
            A claim to commit or release, or why there is none.
        """
        claim = Claim(self._key(event_id), secrets.token_bytes(16))
        for _ in range(_ATTEMPTS):
            if await self._store.add(claim.key, claim.token, self._lapse):
                return claim
            found = await self._store.get(claim.key)
            if found is not None:
                return Taken.DONE if found == _DONE else Taken.HELD
            # The claim that was in the way ended in between.
        return Taken.HELD

    async def commit(self, claim: Claim) -> bool:
        """Note that an event was handled.

        Returns:
            False if the claim lapsed and another one took the event over in the meantime.
        """
        if await self._store.replace(claim.key, claim.token, _DONE, self._keep):
            return True
        # It lapsed. Where nobody took over, or who did gave up, this is still the one that did the work.
        return await self._store.add(claim.key, _DONE, self._keep)

    async def release(self, claim: Claim) -> bool:
        """Give an event back, so that it can be claimed when it is sent again.

        Returns:
            False if the claim had lapsed.
        """
        return await self._store.delete(claim.key, claim.token)

    def _key(self, event_id: str) -> str:
        # Hashed: of one length whatever an id looks like, and with no id in the store for others to read.
        name = f"{len(self._scope)}:{self._scope}:{event_id}"
        return f"kelviq:webhook:{hashlib.sha256(name.encode(errors='surrogatepass')).hexdigest()}"
