"""One decision: from what is known, from what Kelviq answers, or from what is left when it does not."""

from __future__ import annotations

import time
from typing import Any, NamedTuple

from ..api.entitlements import GetEntitlements
from ..checks import identifier_problem, invalid
from ..errors import ClientClosed, Forbidden, KelviqError, NotFound
from .asking import about_customer
from .cache import EntitlementCache, Noted
from .decisions import Decision, Reason, Source, decide
from .memory import Known
from .recorded import Recorded, Uncounted
from .verdicts import Entitlements


class Answered(NamedTuple):
    """What Kelviq answers about a customer.

    Attributes:
        entitlements: All they have, or None for a customer Kelviq does not know.
        start: When the call began that fetched it, on the cache's clock or else the monotonic one.
    """

    entitlements: Entitlements | None
    start: float


class Checker:
    """Makes decisions for the namespace, one by one and in batches.

    Args:
        client: What to ask with.
        cache: What is kept, or None.
        beside: What others keep, where this one keeps nothing: its policy holds, and its
            invalidations count.
    """

    def __init__(
        self, client: Any, cache: EntitlementCache | None, beside: EntitlementCache | None = None
    ) -> None:
        self.client = client
        self.cache = cache
        self.beside = cache or beside
        self.recorded: Recorded | None = None if client.recorder is None else client.recorder.uncounted

    def known(self, customer_id: str) -> Known | None:
        """What is known of a customer, however old."""
        return None if self.cache is None else self.cache.memory.get(customer_id)

    def remembered(
        self, customer_id: str, feature_id: str, known: Known | None, *, due: bool = True
    ) -> Decision | None:
        """The decision that can be made without asking.

        Args:
            customer_id: Your own id of the customer.
            feature_id: Your short name of the feature.
            known: What is known of the customer.
            due: Whether what is due may serve while somebody asks behind the scenes; not in a batch,
                which would have all its customers asked about at once.
        """
        cache = self.cache
        if known is None or cache is None:
            return None
        memory = cache.memory
        if not memory.is_fresh(known, feature_id):
            if not due or not memory.may_revalidate(known, feature_id):
                return None
            cache.refresh(known, lambda: self._renewed(customer_id))
        return self.recalled(customer_id, feature_id, known)

    def recalled(self, customer_id: str, feature_id: str, known: Known) -> Decision:
        """The decision that follows from what is known."""
        age = 0.0 if self.cache is None else self.cache.memory.age(known)
        found = self.read(customer_id, known)
        source = Source.STORE if known.from_store else Source.MEMORY
        return decide(customer_id, feature_id, found, source=source, age=age)

    def read(self, customer_id: str, known: Known) -> Entitlements | None:
        """What is known of a customer, less what was recorded since; None for one Kelviq does not know."""
        return known.entitlements(customer_id, self._uncounted(customer_id, known.start))

    def _uncounted(self, customer_id: str, since: float) -> Uncounted | None:
        recorded = self.recorded
        if recorded is None:
            return None
        return lambda feature_id, used: recorded.of(customer_id, feature_id, used, since)

    def is_complete(self, known: Known | None) -> bool:
        """Whether what is known may also be shown as a list, which says what is not granted."""
        return known is not None and self.cache is not None and self.cache.memory.is_fresh_as_a_list(known)

    async def learned(self, customer_id: str) -> Known | None:
        """What another process has fetched, where there is a store and it is news here.

        Raises:
            WrongLoop: The client lives on another loop.
            ClientClosed: It was closed.
        """
        if self.cache is None or self.cache.fleet is None:
            return None
        self.client._runtime.ready()  # noqa: SLF001  who cannot ask is told before anything begins to listen
        return await self.cache.shared(customer_id)

    async def _renewed(self, customer_id: str) -> None:
        """A newer answer, from another process or from Kelviq."""
        if await self.learned(customer_id) is None:
            await self.asked(customer_id)

    async def asked(self, customer_id: str) -> Answered:
        """What Kelviq answers, perhaps to somebody else who was asking already."""
        if self.cache is None:
            return await self._asked(customer_id, Noted(time.monotonic()))
        with self.cache.noting() as noted:
            return await self._asked(customer_id, noted)

    async def _asked(self, customer_id: str, noted: Noted) -> Answered:
        try:
            answer = await self.client.send(GetEntitlements(customer_id))
        except (NotFound, Forbidden) as error:
            if not about_customer(error):
                raise
            return Answered(None, noted.start)
        found = Entitlements(customer_id, answer, self._uncounted(customer_id, noted.start))
        if self.recorded is not None:
            for feature_id, entitlement in found.items():
                if entitlement.reset_at is not None:
                    self.recorded.learn_reset(customer_id, feature_id, entitlement.reset_at.timestamp())
        return Answered(found, noted.start)

    def _clock(self) -> float:
        return time.monotonic() if self.cache is None else self.cache.clock()

    def age(self, answered: Answered) -> float:
        """Seconds since an answer was asked for."""
        return max(0.0, self._clock() - answered.start)

    def decided(
        self, customer_id: str, feature_id: str, answered: Answered, *, remembered: bool = False
    ) -> Decision:
        """The decision that follows from an answer that just came, or came to somebody before."""
        source = Source.MEMORY if remembered else Source.LIVE
        return decide(customer_id, feature_id, answered.entitlements, source=source, age=self.age(answered))

    def changes(self) -> int:
        """How often something was invalidated so far."""
        return 0 if self.beside is None else self.beside.changes

    def without_answer(self, customer_id: str, feature_id: str, error: KelviqError) -> Decision:
        """The decision where Kelviq cannot be asked: a grant that is not too old, or the feature's policy.

        Raises:
            KelviqError: The failure itself, where neither helps.
        """
        if self.beside is None or error.failure is None or isinstance(error, ClientClosed):
            raise error
        memory = self.beside.memory
        # looked up now: an invalidation while we asked has taken the old answer away
        known = self.known(customer_id)
        if known is not None and memory.may_serve_stale(known, feature_id):
            found = self.read(customer_id, known)
            return decide(customer_id, feature_id, found, source=Source.STALE, age=memory.age(known))
        policy = memory.policy.unknown_for(feature_id)
        if policy == "raise":
            raise error
        return Decision(customer_id, feature_id, policy == "allow", Reason.FALLBACK, Source.FALLBACK)


def checked(customer_id: object, feature_id: object) -> None:
    """Refuse ids that cannot be ones.

    Raises:
        InvalidRequest: ``fields`` names the one.
    """
    for name, value in (("customer_id", customer_id), ("feature_id", feature_id)):
        problem = identifier_problem(value)
        if problem:
            raise invalid(name, problem)
