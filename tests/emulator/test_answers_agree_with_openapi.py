"""Every answer of the emulator is one that Kelviq's published OpenAPI file describes.

The file's facts, without its sentences, are always here (``tests/contract/kelviq-v1.json``); the file itself
is where the project is developed, and newer files are held against the same answers there.
"""

import json
import re
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from urllib.parse import urlsplit
from uuid import UUID

import pytest

import kelviq_async as k
from tests.contract.extract import extract
from tests.everything import bought, furnished

ROOT = Path(__file__).parents[2]
PUBLISHED = ROOT.parent / "shared/kelviq-api/openapi.json"
OPERATIONS = list(k.operations())

# The official SDKs know these, and the file does not.
UNDOCUMENTED = {"RetrieveCustomer", "ArchiveCustomer", "ReportEvent", "PreviewSubscriptionUpdate"}
KINDS = {
    "string": str,
    "integer": int,
    "number": (int, Decimal),
    "boolean": bool,
    "object": dict,
    "array": list,
}
FORMATS = {
    "date-time": datetime.fromisoformat,
    "date": date.fromisoformat,
    "uuid": UUID,
    "uri": lambda text: urlsplit(text).scheme or 1 / 0,
    "url": lambda text: urlsplit(text).scheme or 1 / 0,
    "email": lambda text: "@" in text or 1 / 0,
    "decimal": Decimal,
}


@pytest.fixture(scope="module", params=["facts", "published"])
def facts(request):
    if request.param == "facts":
        return json.loads((ROOT / "tests/contract/kelviq-v1.json").read_text(encoding="utf-8"))
    if not PUBLISHED.exists():
        pytest.skip("the published OpenAPI file is not beside the project")
    return extract(json.loads(PUBLISHED.read_text(encoding="utf-8")))


def entry_of(facts, method, path):
    """The operation a request is for: where several fit, the one with the most words of its own."""
    fitting = [
        entry
        for entry in facts["operations"].values()
        if entry["method"] == method
        and re.fullmatch(re.sub(r"{\w+}", "[^/]+", entry["path"]).rstrip("/") + "/?", path)
    ]
    return min(fitting, key=lambda entry: entry["path"].count("{"), default=None)


def problems(facts, fact, value, where):
    """All that is unlike a fact about a value, in words."""
    seen, fact = fact, dict(fact)
    while "ref" in seen:
        seen = facts["schemas"][seen["ref"]]
        fact = {**seen, **{word: fact[word] for word in ("nullable", "required") if word in fact}}
    if value is None:
        anything = not fact.keys() - {"required", "example"}
        return [] if fact.get("nullable") or anything else [f"{where} is null"]
    if "oneOf" in fact:
        tried = [problems(facts, one, value, where) for one in fact["oneOf"]]
        return [] if [] in tried else min(tried, key=len)
    kind = fact.get("type")
    if kind and (not isinstance(value, KINDS[kind]) or (isinstance(value, bool) and kind != "boolean")):
        return [f"{where} is {value!r}, which is no {kind}"]
    found = list(wrong_text(fact, value, where))
    if isinstance(value, list):
        for index, row in enumerate(value):
            found += problems(facts, fact.get("items", {}), row, f"{where}[{index}]")
    if isinstance(value, dict):
        found += object_problems(facts, fact, value, where)
    return found


def object_problems(facts, fact, value, where):
    fields, rest = fact.get("fields", {}), fact.get("additionalProperties")
    for key, field in fields.items():
        if key not in value and field.get("required") and not field.get("writeOnly"):
            yield f"{where}.{key} is missing"
    for key, entry in value.items():
        if key == "metadata":
            continue  # the user's own: it comes back as it was sent, though texts are what is documented
        if key in fields:
            yield from problems(facts, fields[key], entry, f"{where}.{key}")
        elif isinstance(rest, dict):
            yield from problems(facts, rest, entry, f"{where}.{key}")
        elif fields and rest is not True:
            yield f"{where}.{key} is nowhere documented"


def wrong_text(fact, value, where):
    if "enum" in fact and value not in fact["enum"]:
        yield f"{where} is {value!r}, which is none of {fact['enum']}"
    if isinstance(value, str) and fact.get("format") in FORMATS:
        try:
            FORMATS[fact["format"]](value)
        except (ValueError, ArithmeticError):
            yield f"{where} is {value!r}, which is no {fact['format']}"
    if isinstance(value, str) and not fact.get("minLength", 0) <= len(value) <= fact.get("maxLength", 1e9):
        yield f"{where} is {len(value)} characters long"
    number = isinstance(value, int | Decimal) and not isinstance(value, bool)
    if number and not fact.get("minimum", value) <= value <= fact.get("maximum", value):
        yield f"{where} is {value}, which is out of bounds"


def shown(value, where):
    """Places that an example has, such as ``operation.results[].name``, with what stands there."""
    yield where, value
    for key, inner in value.items() if isinstance(value, dict) else ():
        yield from shown(inner, f"{where}.{key}")
    for row in value if isinstance(value, list) else ():
        yield from shown(row, f"{where}[]")


def disagreements(facts, raw, entry):
    """What the documentation does not say about an answer."""
    name = entry["operationId"]
    answer = entry["responses"].get(str(raw.status))
    if answer is None:
        return [f"{name} answers {raw.status}, and {', '.join(entry['responses'])} are documented"]
    if raw.status == 204:  # some have a schema for this one, but HTTP gives it no body
        return [f"{name} has a body: {raw.body}"] if raw.body else []
    if answer["schema"] is None and not raw.body:
        missing = set(answer.get("headers", ())) - set(raw.headers)
        return [f"{name} lacks its header {header}" for header in missing]
    data = k.codec.decode(raw.body)
    if answer["schema"] is None:  # then all that is known is how an example begins
        likes = [set(example) == set(data) for example in answer["examples"].values()]
        return [] if any(likes) else [f"{name} answers {data}, which is like no example"]
    examples = [place for example in answer["examples"].values() for place in shown(example, name)]
    # Where the file contradicts itself, an answer like its example is right, too.
    excused = {f"{place} is nowhere documented" for place, _ in examples}
    excused |= {f"{place} is null" for place, value in examples if value is None}
    found = problems(facts, answer["schema"], data, name)
    return [problem for problem in found if re.sub(r"\[\d+\]", "[]", problem) not in excused]


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.name)
async def test_each_operation_answers_as_documented(facts, operation):
    world, requests = await furnished()
    request = requests[operation.name]()
    async with k.Kelviq.local(world, retry=False) as kelviq:
        raw = await kelviq.send_raw(request)
    path = operation.render(request).path
    entry = entry_of(facts, operation.method, path)
    assert (entry is None) == (operation.name in UNDOCUMENTED)
    if entry is not None:
        assert disagreements(facts, raw, entry) == []
    assert world.crashes == []


async def trialing(kelviq, world):
    await kelviq.customers.create("trier", email="trier@example.com")
    await bought(kelviq, world, "trier", trial_period=14)
    assert (await kelviq.subscriptions.current("trier")).status == "trialing"


async def canceled(kelviq, world):
    row = await kelviq.subscriptions.current("leaver")
    await kelviq.subscriptions.cancel(row.id, k.CancellationType.IMMEDIATE)
    assert (await kelviq.subscriptions.retrieve(row.id)).status == "canceled"


async def ending(kelviq, world):
    row = await kelviq.subscriptions.current("leaver")
    await kelviq.subscriptions.cancel(row.id, k.CancellationType.CURRENT_PERIOD_ENDS)


async def refunded(kelviq, world):
    async for order in kelviq.orders.each():
        left = order.amount_total_units - (order.refunded_total_units or 0)
        if left:
            await kelviq.refunds.create(order.id, amount_units=left)


async def renewed(kelviq, world):
    world.clock.advance(days=65)


async def past_due(kelviq, world):
    for method in world.state.payment_methods.values():
        method.declines = True
    world.clock.advance(days=29)


async def upgraded(kelviq, world):
    row = await kelviq.subscriptions.current("user-123")
    await kelviq.subscriptions.update(row.id, "enterprise", k.ChargePeriod.MONTHLY)


async def used_up(kelviq, world):
    await kelviq.usage.report(100, "user-123", "max-projects", k.UsageBehaviour.SET)


async def unpaid(kelviq, world):
    link = await kelviq.checkout.create_session("pro", k.ChargePeriod.MONTHLY, "https://example.com/")
    world.pay(link.checkout_session_id, card="4000 0000 0000 0002")
    world.cancel_checkout(link.checkout_session_id)


async def told(kelviq, world):
    world.webhooks.capture(answer=500)
    await kelviq.customers.create("noticed")
    world.clock.advance(minutes=5)


STATES = [trialing, canceled, ending, refunded, renewed, past_due, upgraded, used_up, unpaid, told]
# What can be asked again and again; what it takes to ask is found out from the lists.
READS = [
    "ListCustomers",
    "ListCheckoutSessions",
    "ListCheckoutSessionEvents",
    "RetrieveCheckoutSession",
    "GetEntitlements",
    "ListTransactions",
    "ListOrders",
    "RetrieveOrder",
    "ListOrderEvents",
    "ListWebhookLogs",
    "ListRefunds",
    "RetrieveRefund",
    "ListSubscriptions",
    "RetrieveSubscription",
    "GetProductOffering",
    "ListProducts",
    "ListPlans",
    "RetrievePlan",
    "ListPaymentMethods",
    "ValidateLicense",
]


@pytest.mark.parametrize("state", STATES, ids=lambda state: state.__name__)
async def test_the_same_holds_in_other_states(facts, state):
    world, requests = await furnished()
    found = []
    async with k.Kelviq.local(world, retry=False) as kelviq:
        await state(kelviq, world)
        asked = [requests[name]() for name in READS]
        asked += [k.GetEntitlements(row) for row in world.state.customers]
        asked += [k.RetrieveSubscription(row) for row in world.state.subscriptions]
        asked += [k.RetrieveOrder(row) for row in world.state.orders]
        asked += [k.ListOrderEvents(row) for row in world.state.orders]
        asked += [k.RetrieveRefund(row) for row in world.state.refunds]
        asked += [k.RetrieveCheckoutSession(row) for row in world.state.checkouts]
        asked += [k.ListCheckoutSessionEvents(row) for row in world.state.checkouts]
        for request in asked:
            operation = request.operation
            raw = await kelviq.send_raw(request)
            entry = entry_of(facts, operation.method, operation.render(request).path)
            found += disagreements(facts, raw, entry)
    assert found == []
    assert world.crashes == []


def test_the_two_files_say_the_same():
    if not PUBLISHED.exists():
        pytest.skip("the published OpenAPI file is not beside the project")
    kept = json.loads((ROOT / "tests/contract/kelviq-v1.json").read_text(encoding="utf-8"))
    assert extract(json.loads(PUBLISHED.read_text(encoding="utf-8"))) == kept


# The validator itself: without these, a mistake in it would pass everything.


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"id": None}, "id is null"),
        ({"id": "5"}, "which is no uuid"),
        ({"name": 5}, "which is no string"),
        ({"surprise": 1}, "surprise is nowhere documented"),
        ({"email": "nobody"}, "which is no email"),
    ],
)
async def test_the_validator_sees(facts, change, problem):
    world, _ = await furnished()
    async with k.Kelviq.local(world) as kelviq:
        raw = await kelviq.send_raw(k.ListCustomers())
    answer = k.codec.decode(raw.body)
    answer["results"][0] |= change
    raw = k.RawAnswer(200, {}, k.codec.encode(answer), None)
    (found,) = disagreements(facts, raw, entry_of(facts, "GET", "/customers/"))
    assert problem in found


def test_the_validator_sees_what_is_missing(facts):
    fact = {"type": "object", "fields": {"id": {"type": "integer", "required": True, "minimum": 1}}}
    assert problems(facts, fact, {}, "it") == ["it.id is missing"]
    assert problems(facts, fact, {"id": 0}, "it") == ["it.id is 0, which is out of bounds"]
    assert problems(facts, fact, {"id": 1}, "it") == []
