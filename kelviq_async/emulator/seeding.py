"""Filling a world from plain data, such as a JSON file's.

Everything goes through the same handlers as requests do, so that a seed cannot make what Kelviq would
refuse. All parts are optional; each is a list of objects, in the API's spelling where the API has a word::

    {
      "products": [{"identifier": "app", "name": "App"}],
      "features": [
        {"identifier": "export-data", "featureType": "BOOLEAN"},
        {"identifier": "max-projects", "featureType": "METER"}
      ],
      "plans": [
        {"identifier": "pro", "product": "app", "name": "Pro",
         "prices": {"MONTHLY": "49.00", "YEARLY": "490.00"},
         "features": {"export-data": true, "max-projects": {"value": 100, "reset": "EVERY_MONTH"}}}
      ],
      "promotions": [{"code": "LAUNCH", "percentage": "20"}],
      "customers": [{"customerId": "user-123", "name": "Ada", "email": "ada@example.com"}],
      "subscriptions": [{"customerId": "user-123", "plan": "pro", "chargePeriod": "MONTHLY"}]
    }

* A product, feature or plan without ``name`` is called after its ``identifier``; a plan without
  ``product`` belongs to the first product, which is made if there is none.
* ``prices`` of a plan: amounts by charge period, with ``currency`` (USD) and ``trialDays`` (none) beside
  them; ``"FREE"``, as where none are given; or the list that the API takes, where ``feature`` may be an
  identifier.
* ``features`` of a plan, by identifier: true or false, a number, null for any number, or the API's
  ``details``.
* Plans are published unless ``published`` is false.
* ``subscriptions`` are bought on the checkout page with ``card`` (4242 4242 4242 4242); ``chargePeriod`` is
  by default the plan's first; ``quantities`` are by feature identifier; ``currency``, ``discountCode``,
  ``trialPeriod`` and ``metadata`` are those of the checkout.
"""

from __future__ import annotations

import contextlib
import copy
import gc
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from typing import Any, Final

from ..api.checkout import CreateCheckoutSession
from ..api.customers import CreateCustomer
from ..api.features import CreateFeature
from ..api.plans import AddPlanFeatures, CreatePlan, PublishPlan, SetPlanPrices
from ..api.products import CreateProduct, TaxCode
from ..errors import KelviqError
from ..request import Request
from . import paying
from .catalog import feature_by_identifier, price_in, same_period, sellable
from .checking import body_problems, parsed
from .core import Core
from .refusals import Refusal
from .registry import handler_of
from .state import PlanRow, PromotionRow

_CARD: Final = "4242 4242 4242 4242"
_PURCHASE: Final = {"customerId", "discountCode", "trialPeriod", "metadata"}
_ODD: Final = (KelviqError, ValueError, TypeError, KeyError, AttributeError, ArithmeticError)


def sown(world: Core, data: Any) -> None:
    """Put a seed into a world.

    Args:
        world: The world, with its lock held.
        data: The seed.

    Raises:
        ValueError: Something in it cannot be. Nothing of it was done then.
    """
    with _place("the seed"):
        _check_kind(data, Mapping, "an object")
        unknown = ", ".join(str(name) for name in data if name not in _PARTS)
        if unknown:
            raise ValueError(f"there is no part {unknown}; there are {', '.join(_PARTS)}")
    state, chance = copy.deepcopy(world.state), world.random.getstate()
    collecting = gc.isenabled()
    # what is sown stays: looking through all of it for garbage again and again takes a quarter of the time
    gc.disable()
    try:
        for name, sow in _PARTS.items():
            with _place(name):
                rows = data.get(name, [])
                _check_kind(rows, list, "a list")
            for index, row in enumerate(rows):
                with _place(f"{name}[{index}]"):
                    _check_kind(row, Mapping, "an object")
                    sow(world, _exact(row))
    except ValueError:
        world.state = state
        world.random.setstate(chance)
        raise
    finally:
        if collecting:
            gc.enable()


def _check_kind(value: Any, kind: type, words: str) -> None:
    if not isinstance(value, kind):
        raise TypeError(f"{words} is needed, not {type(value).__name__}")


@contextlib.contextmanager
def _place(where: str) -> Iterator[None]:
    """Have what is wrong say where."""
    try:
        yield
    except Refusal as refusal:
        raise ValueError(f"{where}: {_said(refusal.body)}") from None
    except _ODD as error:
        raise ValueError(f"{where}: {_said(error)}") from None


def _said(problem: Any) -> str:
    if isinstance(problem, KeyError):
        return f"{problem} is missing"
    if isinstance(problem, Mapping):
        texts = {
            name: " ".join(map(str, text)) if isinstance(text, list) else text
            for name, text in problem.items()
        }
        return "; ".join(str(text) if name == "detail" else f"{name}: {text}" for name, text in texts.items())
    return str(problem)


def _exact(value: Any) -> Any:
    """The same without floats, which have no place in money."""
    if isinstance(value, Mapping):
        return {str(name): _exact(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_exact(each) for each in value]
    return Decimal(repr(value)) if isinstance(value, float) else value


def _do(world: Core, request: type[Request[Any]], body: Mapping[str, Any], **path: str) -> Any:
    """What the API would answer."""
    problems = body_problems(request.operation, body)
    if problems:
        raise ValueError("; ".join(problems))
    handler = handler_of(request)
    if handler is None:
        raise ValueError(f"the emulator does not handle {request.operation.name}")
    return handler.function(world, parsed(request.operation, path, {}, body))


def _named(row: Mapping[str, Any]) -> dict[str, Any]:
    identifier = row["identifier"]
    return {"name": str(identifier).replace("-", " ").replace("_", " ").capitalize(), **row}


def _product(world: Core, row: Mapping[str, Any]) -> None:
    _do(world, CreateProduct, {"taxCode": str(next(iter(TaxCode))), **_named(row)})


def _feature(world: Core, row: Mapping[str, Any]) -> None:
    _do(world, CreateFeature, _named(row))


def _plan(world: Core, row: Mapping[str, Any]) -> None:
    own = {"product", "prices", "currency", "trialDays", "features", "published"}
    body = {name: value for name, value in _named(row).items() if name not in own}
    identifier = str(row["identifier"])
    _do(world, CreatePlan, {**body, "product": _product_id(world, row.get("product"))})
    granted = row.get("features") or {}
    entries = [
        {"feature": _feature_id(world, name), "details": _details(given)} for name, given in granted.items()
    ]
    if entries:
        _do(world, AddPlanFeatures, {"planEntitlements": entries}, identifier=identifier)
    _do(world, SetPlanPrices, {"prices": _prices(world, row)}, identifier=identifier)
    if row.get("published", True):
        _do(world, PublishPlan, {}, identifier=identifier)


def _product_id(world: Core, identifier: str | None) -> str:
    rows = world.state.products
    if identifier is None and not rows:
        _product(world, {"identifier": "product"})
    for row in rows.values():
        if identifier is None or row.identifier == identifier:
            return row.id
    raise ValueError(f'there is no product "{identifier}"')


def _feature_id(world: Core, identifier: Any) -> str:
    row = feature_by_identifier(world, str(identifier))
    if row is None:
        raise ValueError(f'there is no feature "{identifier}"')
    return row.id


def _details(given: Any) -> Any:
    if given is None:
        return {"hasUnlimitedUsage": True}
    return given if isinstance(given, Mapping) else {"value": given}


def _prices(world: Core, row: Mapping[str, Any]) -> list[Any]:
    prices, currency = row.get("prices", "FREE"), row.get("currency", "USD")
    if prices == "FREE":
        return [{"priceType": "FREE", "currency": currency}]
    if isinstance(prices, list):
        return [_with_feature_ids(world, price) for price in prices]
    days = row.get("trialDays", 0)
    charges = [
        {"chargePeriod": period, "priceData": {"amount": Decimal(str(amount))}}
        for period, amount in prices.items()
    ]
    trial = {"freeTrial": True, "trialPeriod": days} if days else {}
    parts = [{"priceModel": "FLAT", "charges": charges}]
    return [{"priceType": "PAID", "currency": currency, **trial, "chargeCatalogPrice": parts}]


def _with_feature_ids(world: Core, price: Any) -> Any:
    parts = price.get("chargeCatalogPrice") if isinstance(price, Mapping) else None
    if not isinstance(parts, list):
        return price
    named = [
        {**part, "feature": _feature_id(world, part["feature"])}
        if isinstance(part, Mapping) and part.get("feature") is not None
        else part
        for part in parts
    ]
    return {**price, "chargeCatalogPrice": named}


def _promotion(world: Core, row: Mapping[str, Any]) -> None:
    known = {"code", "percentage", "amount", "currency"}
    unknown = ", ".join(name for name in row if name not in known)
    if unknown:
        raise ValueError(f"a promotion has no {unknown}")
    texts = {name: str(value) for name, value in row.items() if value is not None}
    if ("percentage" in texts) == ("amount" in texts):
        raise ValueError("a promotion takes off either a percentage or an amount")
    if any(Decimal(texts[name]) <= 0 for name in ("percentage", "amount") if name in texts):
        raise ValueError("a promotion takes off something")
    promotion = PromotionRow(world.new_id(), texts.pop("code"), **texts)
    world.state.promotions[promotion.id] = promotion


def _customer(world: Core, row: Mapping[str, Any]) -> None:
    _do(world, CreateCustomer, row)


def _subscription(world: Core, row: Mapping[str, Any]) -> None:
    own = {"plan", "chargePeriod", "quantities", "currency", "card"}
    unknown = ", ".join(name for name in row if name not in own | _PURCHASE)
    if unknown:
        raise ValueError(f"a subscription has no {unknown}")
    plan = sellable(world, str(row["plan"]))
    currency = row.get("currency")
    period = row.get("chargePeriod") or _first_period(plan, currency)
    quantities = row.get("quantities") or {}
    body = {
        "planIdentifier": plan.identifier,
        "chargePeriod": period,
        "customerId": row["customerId"],
        "successUrl": "https://example.com/",
        "features": [{"identifier": name, "quantity": number} for name, number in quantities.items()],
        **({} if currency is None else {"currencyCode": currency}),
        **{name: value for name, value in row.items() if name in _PURCHASE},
    }
    session = _do(world, CreateCheckoutSession, body).checkout_session_id
    paid = paying.pay(world, session, card=str(row.get("card", _CARD)))
    if not paid.paid:
        raise ValueError(paid.problem or f"the checkout is {paid.status}")


def _first_period(plan: PlanRow, currency: str | None) -> str:
    """The charge period of a plan's first charge; free plans are had once."""
    price = price_in(plan, currency) or {}
    for part in price.get("chargeCatalogPrice") or ():
        for charge in part.get("charges") or ():
            return same_period(charge["chargePeriod"])
    return "ONE_TIME"


_PARTS: Final[Mapping[str, Callable[[Core, Mapping[str, Any]], None]]] = {
    "products": _product,
    "features": _feature,
    "plans": _plan,
    "promotions": _promotion,
    "customers": _customer,
    "subscriptions": _subscription,
}
