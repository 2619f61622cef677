"""The namespace that turns Kelviq's answers into decisions."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from ..api import entitlements as api
from ..api.entitlements import GetEntitlements
from ..checks import identifier_problem, invalid
from ..errors import KelviqError, UnknownCustomer
from ..request import at_hand
from ..stream import Source, Stream
from .batches import checked_many, looked_up_many
from .cache import EntitlementCache
from .checker import Checker, checked
from .decisions import Decision, Lookup
from .reserving import Reservation, reserved
from .verdicts import Entitlements


def _nothing_known(customer_id: str, feature_id: str) -> None:
    """What is known where nothing is kept."""


class EntitlementChecks(api.Entitlements):
    """What customers may use."""

    def __init__(self, client: Any) -> None:
        super().__init__(client)
        cache: EntitlementCache | None = client.entitlement_cache
        self._shared: EntitlementCache | None = client.shared_cache  # also of a view that asks past it
        self._checker = Checker(client, cache)
        self._peek: Callable[[str, str], bool | None] = _nothing_known if cache is None else cache.memory.peek
        self.__dict__["peek"] = self._peek  # without the method around it

    def peek(self, customer_id: str, feature_id: str) -> bool | None:
        """What a fresh answer in memory says, without asking anybody; safe from any thread.

        Args:
            customer_id: Your own id of the customer.
            feature_id: Your short name of the feature.

        Returns:
            True or False, or None where Kelviq would have to be asked.
        """
        return self._peek(customer_id, feature_id)

    def peek_decision(self, customer_id: str, feature_id: str) -> Decision | None:
        """The decision that a fresh answer in memory gives, without asking anybody; safe from any thread.

        Args:
            customer_id: Your own id of the customer.
            feature_id: Your short name of the feature.

        Returns:
            The decision, or None where Kelviq would have to be asked.
        """
        if self._peek(customer_id, feature_id) is None:
            return None
        known = self._checker.known(customer_id)
        return None if known is None else self._checker.recalled(customer_id, feature_id, known)

    @at_hand("peek")
    async def has_access(self, customer_id: str, feature_id: str) -> bool:
        """Whether a customer may use a feature.

        Args:
            customer_id: Your own id of the customer.
            feature_id: Your short name of the feature.

        Returns:
            Kelviq's verdict; False for a feature nobody granted and for an unknown customer.

        Raises:
            UnreadableAnswer: The verdict was no true or false.
            KelviqError: Kelviq could not be asked.
        """
        verdict = self._peek(customer_id, feature_id)
        if verdict is not None:
            return verdict
        return (await self.check(customer_id, feature_id)).allowed

    @at_hand("peek_decision")
    async def check(self, customer_id: str, feature_id: str) -> Decision:
        """Whether a customer may use a feature, and why.

        Args:
            customer_id: Your own id of the customer.
            feature_id: Your short name of the feature.

        Returns:
            The decision, with its reason, its source, its age and what is granted.

        Raises:
            UnreadableAnswer: The verdict was no true or false.
            KelviqError: Kelviq could not be asked, and nothing usable is known.
        """
        checked(customer_id, feature_id)
        known = self._checker.known(customer_id)
        decision = self._checker.remembered(customer_id, feature_id, known)
        if decision is None:
            known = await self._checker.learned(customer_id)
            decision = self._checker.remembered(customer_id, feature_id, known)
        if decision is not None:
            return decision
        try:
            answered = await self._checker.asked(customer_id)
        except KelviqError as error:
            return self._checker.without_answer(customer_id, feature_id, error)
        return self._checker.decided(customer_id, feature_id, answered)

    async def require(self, customer_id: str, feature_id: str) -> Decision:
        """Go on only if a customer may use a feature.

        Args:
            customer_id: Your own id of the customer.
            feature_id: Your short name of the feature.

        Returns:
            The decision that allows it.

        Raises:
            NotEntitled: They may not.
            KelviqError: Kelviq could not be asked, and nothing usable is known.
        """
        return (await self.check(customer_id, feature_id)).require()

    async def get(self, customer_id: str) -> Entitlements:
        """All that a customer may use.

        A list also says what is not granted, so one in memory is served only as long as a denial is.

        Args:
            customer_id: Your own id of the customer.

        Returns:
            A mapping from features to what is granted of each.

        Raises:
            UnknownCustomer: Kelviq does not know the customer.
            KelviqError: Kelviq could not be asked.
        """
        problem = identifier_problem(customer_id)
        if problem:
            raise invalid("customer_id", problem)
        known = self._checker.known(customer_id)
        if self._checker.cache is not None and not self._checker.is_complete(known):
            known = await self._checker.learned(customer_id)
        if known is not None and self._checker.is_complete(known):
            found = self._checker.read(customer_id, known)
        else:
            found = (await self._checker.asked(customer_id)).entitlements
        if found is None:
            unknown = UnknownCustomer("Kelviq does not know this customer", status=404)
            unknown.about("GetEntitlements", GetEntitlements(customer_id))
            raise unknown
        return found

    @asynccontextmanager
    async def reserve(self, customer_id: str, feature_id: str, units: int = 1) -> AsyncIterator[Reservation]:
        """Hold units against a hard limit while work runs, and record them when it is done.

        Holds are this process's own: other processes see them only once they are recorded and Kelviq
        has counted them. When the block ends with an exception, nothing is recorded.

        Args:
            customer_id: Your own id of the customer.
            feature_id: Your short name of a metered feature.
            units: Whole units to hold.

        Returns:
            A context manager that gives the ``Reservation``.

        Raises:
            NotEntitled: They may not use the feature, or fewer units remain.
            ConfigError: The client has no journal.
            KelviqError: Kelviq could not be asked, and nothing usable is known.
        """
        async with reserved(self._checker, self._client.usage, customer_id, feature_id, units) as reservation:
            yield reservation

    async def invalidate(self, customer_id: str) -> None:
        """Forget what is known of a customer, also if somebody is asking right now.

        Args:
            customer_id: Your own id of the customer.
        """
        problem = identifier_problem(customer_id)
        if problem:
            raise invalid("customer_id", problem)
        if self._shared is not None:
            self._client.track(self._shared)  # this may be the only thing that a client is there for
            await self._shared.invalidate(customer_id)

    async def invalidate_all(self) -> None:
        """Forget what is known of everybody."""
        if self._shared is not None:
            self._client.track(self._shared)
            await self._shared.invalidate_all()

    def check_many(
        self,
        pairs: Source[tuple[str, str]],
        *,
        concurrency: int = 50,
        ordered: bool = False,
        deadline: float | None = None,
        on_progress: Callable[[int], None] | None = None,
        warm: bool = True,
    ) -> Stream[Decision]:
        """Decide many (customer, feature) pairs; one call for each customer.

        Args:
            pairs: Any iterable or async iterable of pairs, of any length.
            concurrency: How many calls are under way at once.
            ordered: Whether decisions come in the order of the pairs.
            deadline: Seconds for all of it; what is not decided by then is an error each.
            on_progress: Called with the number of decisions made.
            warm: Whether answers are kept for later checks.

        Returns:
            An iterator of decisions. What goes wrong with one pair is that decision's ``error``.
        """
        return checked_many(
            self._batch(warm=warm),
            pairs,
            concurrency=concurrency,
            ordered=ordered,
            deadline=deadline,
            on_progress=on_progress,
        )

    def get_many(
        self,
        customer_ids: Source[str],
        *,
        concurrency: int = 50,
        ordered: bool = False,
        deadline: float | None = None,
        on_progress: Callable[[int], None] | None = None,
        warm: bool = True,
    ) -> Stream[Lookup]:
        """Look up many customers.

        Args:
            customer_ids: Any iterable or async iterable of your own ids, of any length.
            concurrency: How many calls are under way at once.
            ordered: Whether results come in the order of the ids.
            deadline: Seconds for all of it; what is not looked up by then is an error each.
            on_progress: Called with the number of customers looked up.
            warm: Whether answers are kept for later checks.

        Returns:
            An iterator of lookups. What goes wrong with one customer is that lookup's ``error``.
        """
        return looked_up_many(
            self._batch(warm=warm),
            customer_ids,
            concurrency=concurrency,
            ordered=ordered,
            deadline=deadline,
            on_progress=on_progress,
        )

    def _batch(self, *, warm: bool) -> Checker:
        if warm:
            return self._checker
        return Checker(self._client.with_options(cache=False), None, self._shared)
