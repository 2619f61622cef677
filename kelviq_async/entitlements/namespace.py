"""The namespace that turns Kelviq's answers into decisions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..api import entitlements as api
from ..api.entitlements import GetEntitlements
from ..checks import identifier_problem, invalid
from ..errors import Forbidden, KelviqError, NotFound, UnknownCustomer
from ..stream import Source, Stream
from .asking import about_customer
from .batches import checked_many, looked_up_many
from .cache import EntitlementCache
from .decisions import Decision, Lookup, Reason, decide
from .decisions import Source as Origin
from .memory import Known
from .verdicts import Entitlements


def _nothing_known(customer_id: str, feature_id: str) -> None:
    """What is known where nothing is kept."""


class EntitlementChecks(api.Entitlements):
    """What customers may use."""

    def __init__(self, client: Any) -> None:
        super().__init__(client)
        self._cache: EntitlementCache | None = client.entitlement_cache
        self._peek: Callable[[str, str], bool | None] = (
            _nothing_known if self._cache is None else self._cache.memory.peek
        )

    def peek(self, customer_id: str, feature_id: str) -> bool | None:
        """What a fresh answer in memory says, without asking anybody; safe from any thread.

        Args:
            customer_id: Your own id of the customer.
            feature_id: Your short name of the feature.

        Returns:
            True or False, or None where Kelviq would have to be asked.
        """
        return self._peek(customer_id, feature_id)

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
        known = None if self._cache is None else self._cache.memory.get(customer_id)
        decision = self.remembered(customer_id, feature_id, known)
        if decision is not None:
            return decision
        try:
            found = await self.asked(customer_id)
        except KelviqError as error:
            return self.without_answer(customer_id, feature_id, known, error)
        return self.decided(customer_id, feature_id, found)

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
        known = None if self._cache is None else self._cache.memory.get(customer_id)
        if known is not None and self._cache is not None and self._cache.memory.clock() < known.denied_until:
            found = known.entitlements(customer_id)
        else:
            found = await self.asked(customer_id)
        if found is None:
            unknown = UnknownCustomer("Kelviq does not know this customer", status=404)
            unknown.about("GetEntitlements", GetEntitlements(customer_id))
            raise unknown
        return found

    async def invalidate(self, customer_id: str) -> None:
        """Forget what is known of a customer, also if somebody is asking right now.

        Args:
            customer_id: Your own id of the customer.
        """
        if self._cache is not None:
            await self._cache.invalidate(customer_id)

    async def invalidate_all(self) -> None:
        """Forget what is known of everybody."""
        if self._cache is not None:
            await self._cache.invalidate_all()

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
        return checked_many(self._batch(warm=warm), pairs, concurrency, ordered, deadline, on_progress)

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
        return looked_up_many(self._batch(warm=warm), customer_ids, concurrency, ordered, deadline, on_progress)

    def _batch(self, *, warm: bool) -> EntitlementChecks:
        return self if warm or self._cache is None else type(self)(self._client.with_options(cache=False))

    def remembered(self, customer_id: str, feature_id: str, known: Known | None) -> Decision | None:
        """The decision that can be made without asking; where it is due, somebody asks behind the scenes."""
        cache = self._cache
        if known is None or cache is None:
            return None
        memory = cache.memory
        if not memory.is_fresh(known, feature_id):
            if not memory.may_revalidate(known, feature_id):
                return None
            cache.refresh(known, lambda: self.asked(customer_id))
        return decide(
            customer_id, feature_id, known.entitlements(customer_id), source=Origin.MEMORY, age=memory.age(known)
        )

    async def asked(self, customer_id: str) -> Entitlements | None:
        """All the customer has as Kelviq answers it, or None for a customer Kelviq does not know."""
        try:
            answer = await self._client.send(GetEntitlements(customer_id))
        except (NotFound, Forbidden) as error:
            if not about_customer(error):
                raise
            return None
        return Entitlements(customer_id, answer)

    def decided(self, customer_id: str, feature_id: str, found: Entitlements | None) -> Decision:
        """The decision that follows from an answer that just came."""
        known = None if self._cache is None else self._cache.memory.get(customer_id)
        if known is None or not known.from_store or self._cache is None:
            return decide(customer_id, feature_id, found)
        return decide(customer_id, feature_id, found, source=Origin.STORE, age=self._cache.memory.age(known))

    def without_answer(
        self, customer_id: str, feature_id: str, known: Known | None, error: KelviqError
    ) -> Decision:
        """The decision where Kelviq cannot be asked: a grant that is not too old, or the feature's policy.

        Raises:
            KelviqError: The failure itself, where neither helps.
        """
        cache = self._cache
        if cache is None or error.failure is None:
            raise error
        # an invalidation while we asked has taken the old answer away
        if known is not None and cache.memory.get(customer_id) is known:
            if cache.memory.may_serve_stale(known, feature_id):
                found = known.entitlements(customer_id)
                return decide(customer_id, feature_id, found, source=Origin.STALE, age=cache.memory.age(known))
        policy = cache.memory.policy.unknown_for(feature_id)
        if policy == "raise":
            raise error
        return Decision(customer_id, feature_id, policy == "allow", Reason.FALLBACK, Origin.FALLBACK)


def checked(customer_id: object, feature_id: object) -> None:
    """Refuse ids that cannot be ones.

    Raises:
        InvalidRequest: ``fields`` names the one.
    """
    for name, value in (("customer_id", customer_id), ("feature_id", feature_id)):
        problem = identifier_problem(value)
        if problem:
            raise invalid(name, problem)
