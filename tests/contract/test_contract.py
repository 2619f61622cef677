"""Requests and models against what Kelviq publishes of itself, in both directions.

`KNOWN` lists every difference there is meant to be, with its reason. A difference that is not in it
fails, and so does a row that is no longer true.
"""

import copy
import importlib.util
import json
import re
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Literal, get_args, get_origin

import pytest

from kelviq_async import Host, Key, Model, OpenEnum, codec, operations
from kelviq_async.errors import api_error
from kelviq_async.model import is_model
from kelviq_async.spelling import same, unwrap

HERE = Path(__file__).parent
PUBLISHED = HERE.parents[2] / "shared" / "kelviq-api" / "openapi.json"
FACTS = json.loads((HERE / "kelviq-v1.json").read_text(encoding="utf-8"), parse_float=Decimal)
DOCUMENTED = FACTS["operations"]
SCHEMAS = FACTS["schemas"]

KEYS = {("bearerAuth",): (Key.SERVER,), ("partnerKeyAuth",): (Key.PARTNER,), (): ()}

ID = "ids are str here: nobody adds them up, and examples of other ids are texts"
TIME = "examples show a time"
FEATURES = "the schema of features lists the values"
STATUS = "the guides list the values"
ONE_TIME = "charges take ONE_TIME only; check() says so, as a second enum would double the words"
NO_PAGES = "this list has the shape of a page without links; one Page serves all lists"

# Difference -> why it is meant to be.
KNOWN = {
    "getCustomerEntitlements: takes client or server, documented as ['bearerAuth']": (
        "the seeds and both SDKs ask with the client key; the OpenAPI file means the server key"
    ),
    "getPromotion: takes client, documented as ['bearerAuth']": "its text allows the client key alone",
    "CreateChargeRequest.chargePeriod: DAILY is not documented": ONE_TIME,
    "CreateChargeRequest.chargePeriod: MONTHLY is not documented": ONE_TIME,
    "CreateChargeRequest.chargePeriod: SIX_MONTHS is not documented": ONE_TIME,
    "CreateChargeRequest.chargePeriod: THREE_MONTHS is not documented": ONE_TIME,
    "CreateChargeRequest.chargePeriod: TWENTY_EIGHT_DAYS is not documented": ONE_TIME,
    "CreateChargeRequest.chargePeriod: WEEKLY is not documented": ONE_TIME,
    "CreateChargeRequest.chargePeriod: YEARLY is not documented": ONE_TIME,
    "CheckoutSessionDetailResponse.status: CheckoutStatus, documented as any text": STATUS,
    "CheckoutSessionResponse.status: CheckoutStatus, documented as any text": STATUS,
    "listCheckoutSessions query.status: CheckoutStatus, documented as any text": STATUS,
    "CreateSubscriptionResponse.status: SubscriptionStatus, documented as any text": STATUS,
    "Subscription.status: SubscriptionStatus, documented as any text": STATUS,
    "EntitlementDetail.featureType: FeatureType, documented as any text": FEATURES,
    "SubscriptionFeatureDetail.featureType: FeatureType, documented as any text": FEATURES,
    "LicenseValidationResponse.code: LicenseCode, documented as any text": "examples show the values",
    "CheckoutSessionEventResponse.id: string, documented as integer": ID,
    "OrderEventResponse.id: string, documented as integer": ID,
    "PartnerOrganization.userId: string, documented as integer": ID,
    "PaymentMethodResponse.id: string, documented as integer": ID,
    "ProductOfferingResponse.organizationId: string, documented as integer": ID,
    "CustomerResponse.createdOn: date-time, documented as string": TIME,
    "CustomerResponse.modifiedOn: date-time, documented as string": TIME,
    "EntitlementDetail.resetAt: date-time, documented as string": TIME,
    "PaymentMethodResponse.createdOn: date-time, documented as string": TIME,
    "PaymentMethodResponse.modifiedOn: date-time, documented as string": TIME,
    "ReportUsageResponse.timestamp: date-time, documented as string": TIME,
    "ReportEventRequest.timestamp: date-time, documented as string": TIME,
    "ReportEventResponse.timestamp: date-time, documented as string": TIME,
    "PartnerOrganizationList.next: is not documented": NO_PAGES,
    "PartnerOrganizationList.previous: is not documented": NO_PAGES,
    "downloadCatalogPlanFile answer: none is documented": "the redirect's Location is what one wants of it",
    "updateCatalogPlanFeature answer: none is documented": "an example is, of the shape in the list",
}


def place(method, path):
    """Where an operation lives, whatever its path parameters are called."""
    return method, re.sub(r"{\w+}", "{}", path)


OURS = {place(each.method, each.path): each for each in operations()}
PAIRS = [(name, fact, OURS.get(place(fact["method"], fact["path"]))) for name, fact in DOCUMENTED.items()]


def resolved(fact, where):
    """A fact with what its reference leads to, and the name to speak of it by."""
    while "ref" in fact:
        where = fact["ref"]
        fact = {**SCHEMAS[where], **{key: value for key, value in fact.items() if key != "ref"}}
    return fact, where


def word_of(field):
    """A field's type in the words of JSON schema."""
    hint = field.hint
    plain = {
        bool: "boolean",
        int: "integer",
        str: "string",
        date: "date",
        datetime: "date-time",
        dict: "object",
    }
    if is_model(hint) or get_origin(hint) is dict:
        return "object"
    if hint is Decimal:
        return "number" if field.metadata.get("form") == "number" else "string"
    if isinstance(hint, type) and issubclass(hint, OpenEnum):
        return "string"
    if hint in plain:
        return plain[hint]
    if get_origin(hint) is Literal or datetime in get_args(hint):
        return "string"
    if get_args(hint) == (int, str):
        return "integer|string"
    return "array" if get_args(hint) else "anything"


def documented_word(fact):
    if "oneOf" in fact:
        return "|".join(each["type"] for each in fact["oneOf"])
    if fact.get("type") == "string" and fact.get("format") in {"date", "date-time"}:
        return fact["format"]
    return fact.get("type", "anything")


def of_field(where, field, fact, *, strict, nulls):
    """The differences between one field and its fact."""
    fact, inner = resolved(fact, where)
    if nulls and field.nullable != fact.get("nullable", False):
        yield f"{where}: {'' if field.nullable else 'not '}nullable here"
    if strict and field.required != fact.get("required", False):
        yield f"{where}: {'' if field.required else 'not '}required here"
    yield from of_type(inner, field, fact, strict=strict)


def of_type(where, field, fact, *, strict):
    ours, theirs = word_of(field), documented_word(fact)
    if ours != theirs:
        yield f"{where}: {ours}, documented as {theirs}"
        return
    hint = field.hint
    hint, enum = field.hint, set(fact.get("enum", ()))
    if ours == "array":
        item, nullable = unwrap(get_args(hint)[0])
        entry, inside = resolved(fact["items"], f"{where}[]")
        yield from of_type(inside, field._replace(hint=item, nullable=nullable), entry, strict=strict)
    elif is_model(hint):
        yield from of_fields(where, codec.fields(hint), fact.get("fields", {}), strict=strict, nulls=True)
    elif "fields" in fact:
        yield f"{where}: fields are documented"
    words = {str(word) for word in hint} if isinstance(hint, type) and issubclass(hint, OpenEnum) else set()
    if words and not enum:
        yield f"{where}: {hint.__name__}, documented as any text"
    else:
        for word in sorted(words ^ enum):
            yield f"{where}: {word} {'is not documented' if word in words else 'is missing'}"


def of_fields(where, ours, documented, *, strict, nulls, needs_source=True):
    """The differences between two sets of fields."""
    by_name = {field.wire: field for field in ours}
    for name, fact in documented.items():
        if name in by_name:
            yield from of_field(f"{where}.{name}", by_name[name], fact, strict=strict, nulls=nulls)
        else:
            yield f"{where}.{name}: is missing"
    for name, field in by_name.items():
        if name not in documented and needs_source and not field.metadata.get("provisional"):
            yield f"{where}.{name}: is not documented"


def of_answer(name, fact, operation):
    (answer,) = (body for status, body in fact["responses"].items() if status[0] in "23")
    schema = answer["schema"]
    if schema is None or operation.response is None:
        if (schema is None) != (operation.response is None):
            yield f"{name} answer: {'none' if schema is None else 'one'} is documented"
        return
    fact, where = resolved(schema, f"{name} answer")
    yield from of_fields(where, codec.fields(operation.response), fact["fields"], strict=False, nulls=True)


def of_operation(name, fact, operation):
    if operation is None:
        yield f"{name}: is missing"
        return
    if operation.host is not Host(fact["host"]):
        yield f"{name}: lives on {operation.host}, documented as {fact['host']}"
    if operation.keys != KEYS[tuple(fact["security"])]:
        yield f"{name}: takes {' or '.join(operation.keys)}, documented as {fact['security']}"
    if operation.provisional:
        yield f"{name}: is provisional"
    for field, (title, parameter) in zip(
        (each for part in operation.path_names for each in operation.fields if each.name == part),
        sorted(fact["pathParameters"].items(), key=lambda item: fact["path"].index("{" + item[0])),
        strict=True,
    ):
        yield from of_field(f"{name} path {title}", field, parameter, strict=True, nulls=False)
    query = [each._replace(wire=each.metadata.get("name") or each.name) for each in operation.query_fields]
    yield from of_fields(f"{name} query", query, fact["queryParameters"], strict=True, nulls=False)
    schema = (fact["requestBody"] or {}).get("schema") or {"fields": {}}
    body, where = resolved(schema, f"{name} body")
    yield from of_fields(where, operation.body_fields, body.get("fields", {}), strict=True, nulls=True)
    yield from of_answer(name, fact, operation)


def all_differences():
    found = {each for name, fact, operation in PAIRS for each in of_operation(name, fact, operation)}
    # No path leads to these two schemas, which are all that is published of this operation.
    event = OURS["POST", "/report/event/"]
    for where, ours in (
        ("ReportEventRequest", event.body_fields),
        ("ReportEventResponse", codec.fields(event.response)),
    ):
        strict = where == "ReportEventRequest"
        found |= set(of_fields(where, ours, SCHEMAS[where]["fields"], strict=strict, nulls=True))
    paths = {place(fact["method"], fact["path"]) for fact in DOCUMENTED.values()}
    found |= {
        f"{operation.name}: is not documented"
        for where, operation in OURS.items()
        if where not in paths and not operation.source
    }
    return found


def models_in(value, where=""):
    """Every model in a value, with the way to it."""
    if isinstance(value, Model):
        yield where, value
        for field in codec.fields(type(value)):
            yield from models_in(getattr(value, field.name), f"{where}.{field.name}")
    elif isinstance(value, list):
        for row in value:
            yield from models_in(row, f"{where}[]")


def answers():
    """Every example of an answer that is no error, and what it is loaded as."""
    for name, fact, operation in PAIRS:
        for status, answer in fact["responses"].items():
            shape = operation.answers.get(int(status), operation.response if status[0] == "2" else None)
            of_schema = SCHEMAS.get((answer["schema"] or {}).get("ref"), {})
            given = {
                **answer["examples"],
                **({"schema": of_schema["example"]} if "example" in of_schema else {}),
            }
            for title, example in given.items():
                if shape is not None:
                    yield pytest.param(shape, example, id=f"{name}-{status}-{title}")


def bodies():
    """Every example of a body, and its operation."""
    for name, fact, operation in PAIRS:
        if fact["requestBody"]:
            of_schema = SCHEMAS[fact["requestBody"]["schema"]["ref"]]
            given = dict(fact["requestBody"]["examples"])
            given |= {"schema": of_schema["example"]} if "example" in of_schema else {}
            for title, example in given.items():
                yield pytest.param(operation, example, id=f"{name}-{title}")


def refusals():
    for name, fact, operation in PAIRS:
        for status, answer in fact["responses"].items():
            if int(status) >= 400 and int(status) not in operation.answers:
                for title, example in answer["examples"].items():
                    yield pytest.param(int(status), example, id=f"{name}-{status}-{title}")


def single_examples():
    """Every example of a single field that a model or a request has."""
    for name, fact, operation in PAIRS:
        shapes = [(f"{name} query", operation.query_fields, fact["queryParameters"])]
        schema = (fact["requestBody"] or {}).get("schema")
        if schema:
            shapes.append((name, operation.body_fields, resolved(schema, name)[0].get("fields", {})))
        for answer in fact["responses"].values():
            if answer["schema"] and operation.response:
                documented = resolved(answer["schema"], name)[0].get("fields", {})
                shapes.append((name, codec.fields(operation.response), documented))
        for where, ours, documented in shapes:
            yield from examples_of(where, ours, documented)


def examples_of(where, ours, documented):
    for field in ours:
        fact, inside = resolved(documented.get(field.wire, documented.get(field.name, {})), where)
        if "example" in fact:
            yield f"{where}.{field.wire}", field, fact["example"]
        item = unwrap(get_args(field.hint)[0])[0] if get_origin(field.hint) is list else field.hint
        inner = resolved(fact["items"], inside)[0] if "items" in fact else fact
        if is_model(item):
            yield from examples_of(f"{where}.{field.wire}", codec.fields(item), inner.get("fields", {}))


def test_every_difference_has_a_reason():
    assert sorted(all_differences() - KNOWN.keys()) == []


def test_every_reason_is_still_needed():
    assert sorted(KNOWN.keys() - all_differences()) == []


@pytest.mark.parametrize(
    ("change", "difference"),
    [
        (lambda fields: fields.pop("customerId"), "CreateChargeRequest.customerId: is not documented"),
        (lambda fields: fields.update(new={"type": "string"}), "CreateChargeRequest.new: is missing"),
        (
            lambda fields: fields["customerId"].update(type="integer"),
            "CreateChargeRequest.customerId: string, documented as integer",
        ),
        (
            lambda fields: fields["customerId"].update(nullable=True),
            "CreateChargeRequest.customerId: not nullable here",
        ),
        (
            lambda fields: fields["customerId"].pop("required"),
            "CreateChargeRequest.customerId: required here",
        ),
        (
            lambda fields: fields["features"].update(items={"type": "string"}),
            "CreateChargeRequest.features[]: object, documented as string",
        ),
        (
            lambda fields: fields["chargePeriod"]["enum"].append("HOURLY"),
            "CreateChargeRequest.chargePeriod: HOURLY is missing",
        ),
    ],
)
def test_a_change_at_kelviq_would_be_seen(change, difference, monkeypatch):
    schema = copy.deepcopy(SCHEMAS["CreateChargeRequest"])
    change(schema["fields"])
    monkeypatch.setitem(SCHEMAS, "CreateChargeRequest", schema)
    assert all_differences() - KNOWN.keys() == {difference}


def test_all_64_operations_are_here_and_the_others_say_where_they_are_known_from():
    assert len(DOCUMENTED) == 64
    assert [name for name, _, operation in PAIRS if operation is None] == []
    assert len({id(operation) for _, _, operation in PAIRS}) == 64
    others = {operation.name for operation in OURS.values() if operation.provisional}
    assert others == {"RetrieveCustomer", "ArchiveCustomer", "PreviewSubscriptionUpdate", "ReportEvent"}
    assert len(OURS) == 64 + len(others)


@pytest.mark.parametrize(("shape", "example"), list(answers()))
def test_documented_answers_load_without_a_rest(shape, example):
    value = codec.load(shape, example)
    assert same(codec.dump(value), example)
    assert [(where, list(row.extra)) for where, row in models_in(value) if row.extra] == []


@pytest.mark.parametrize(("operation", "example"), list(bodies()))
def test_documented_bodies_are_what_we_send(operation, example):
    path = dict.fromkeys(operation.path_names, "an-id")
    request = operation.parse(path, {}, example)
    request.check()
    assert same(operation.render(request).body, example)


@pytest.mark.parametrize(("status", "example"), list(refusals()))
def test_documented_errors_say_why(status, example):
    error = api_error(status, example)
    assert error.message != api_error(status, None).message
    assert error.status == status
    named = [name for name, value in example.items() if isinstance(value, list)]
    assert all(name in error.fields for name in named)


def test_every_documented_example_of_a_field_can_be_read():
    found = list(single_examples())
    assert len(found) > 300
    unread = []
    for where, field, example in found:
        if example is None:
            continue
        try:
            value = field.spelling.load(example)
        except (ValueError, TypeError) as error:
            unread.append((where, example, str(error)))
        else:
            assert value is not None, where
    assert unread == []


@pytest.mark.skipif(not PUBLISHED.exists(), reason="the published OpenAPI file is not at hand")
def test_the_facts_are_those_of_the_published_file():
    spec = importlib.util.spec_from_file_location("extract", HERE / "extract.py")
    extract = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(extract)
    published = json.loads(PUBLISHED.read_text(encoding="utf-8"), parse_float=Decimal)
    assert same(extract.extract(published), FACTS)
