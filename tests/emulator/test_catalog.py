"""Every answer about the catalogue has the published shape: its fields, their types, its status."""

import json
import re
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from kelviq_async import BillingAddress, Kelviq, PlanPriceInput, TaxCode
from kelviq_async.api.deliverables import LicenseConfig, PlanLink
from kelviq_async.api.plans import PlanEntitlementDetails, PlanFeatureInput
from kelviq_async.api.prices import CatalogChargePeriod, FeatureCharge, PlanCharge, PriceModel, PriceTier
from kelviq_async.emulator import World
from kelviq_async.emulator.state import PromotionRow
from kelviq_async.emulator.storage import store

FACTS = json.loads(
    (Path(__file__).parents[1] / "contract" / "kelviq-v1.json").read_text("utf-8"), parse_float=Decimal
)
AREAS = ("/catalog/", "/media/", "/promotions", "/partner/", "/monetization/")
KINDS = {
    "string": str,
    "integer": int,
    "number": int | Decimal,
    "boolean": bool,
    "object": dict,
    "array": list,
}
FORMS = {
    "date-time": lambda text: re.fullmatch(r"[\d-]{10}T[\d:]{8}(\.\d+)?Z", text),
    "uri": lambda text: urlsplit(text).scheme,
    "uuid": lambda text: re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", text),
}
# In an example, and in no schema.
BY_EXAMPLE = {("FeaturePrice", "enabled"), ("BillingPeriod", "defaultSelected")}


def documented(method, path):
    """The operation, of those that fit the one with the fewest path parameters."""
    fitting = [
        fact
        for fact in FACTS["operations"].values()
        if fact["method"] == method and re.fullmatch(re.sub(r"{\w+}", "[^/]+", fact["path"]), path)
    ]
    return min(fitting, key=lambda fact: fact["path"].count("{"))


def differences(fact, value, where):
    """What is unlike the documentation about a value, in words."""
    name = fact.get("ref", "")
    nullable = fact.get("nullable", False)
    while "ref" in fact:
        fact = FACTS["schemas"][fact["ref"]]
        nullable = nullable or fact.get("nullable", False)
    if value is None:
        return [] if nullable or "type" not in fact else [f"{where} is null"]
    kind = fact.get("type")
    if kind and (not isinstance(value, KINDS[kind]) or (kind != "boolean" and isinstance(value, bool))):
        return [f"{where} is {value!r}, not of type {kind}"]
    if ("enum" in fact and value not in fact["enum"]) or not FORMS.get(fact.get("format"), bool)(
        value or "-"
    ):
        return [f"{where} is {value!r}"]
    found = []
    fields = fact.get("fields", {})
    for key, entry in value.items() if fields else ():
        if key in fields:
            found += differences(fields[key], entry, f"{where}.{key}")
        elif not fact.get("additionalProperties") and (name, key) not in BY_EXAMPLE:
            found.append(f"{where}.{key} is nowhere documented")
    for index, entry in enumerate(value) if kind == "array" else ():
        found += differences(fact.get("items", {}), entry, f"{where}[{index}]")
    return found


def test_differences_are_found():
    wrong = {"version": "1", "files": [{"id": "x"}], "ordering": None, "name": None, "more": 1}
    assert differences({"ref": "CatalogPlan"}, wrong, "plan") == [
        "plan.version is '1', not of type integer",
        "plan.files[0].id is 'x'",
        "plan.name is null",
        "plan.more is nowhere documented",
    ]


class Watched(World):
    """A world that compares all its answers with the documentation."""

    def __init__(self, **settings):
        super().__init__(**settings)
        self.seen = set()

    async def send(self, request):
        answer = await super().send(request)
        fact = documented(request.method, urlsplit(request.url).path.removeprefix("/api/v1"))
        name = fact["operationId"]
        self.seen.add(name)
        assert str(answer.status) in fact["responses"], f"{name} answered {answer.status}: {answer.body}"
        response = fact["responses"][str(answer.status)]
        if answer.status in {204, 302}:
            assert not answer.body
        elif response["schema"]:
            data = json.loads(answer.body, parse_float=Decimal)
            assert differences(response["schema"], data, name) == []
            fields = FACTS["schemas"][response["schema"]["ref"]].get("fields", {})
            assert set(fields) == set(data), name
        return answer


@pytest.fixture
def world():
    world = Watched(now=datetime(2026, 1, 31, tzinfo=UTC), strict=True)
    world.state.promotions["promo"] = PromotionRow("promo", "CODE", percentage="40", country_code="IN")
    return world


async def sell(kelviq, keys):
    """A product with all there is to it, and a plan likewise."""
    product = await kelviq.products.create("Suite", TaxCode.SAAS, image_keys=[keys[0]])
    details = {"featureSubType": "PRE_AGGREGATED_USAGE", "units": {"singular": "call", "plural": "calls"}}
    calls = await kelviq.features.create("Calls", "METER", feature_details=details)
    await kelviq.plans.create(
        "Pro",
        product.id,
        file_keys=[keys[1]],
        license=LicenseConfig(enabled=True, activation_limit=3),
        links=[PlanLink(name="Page", url="https://a.example")],
        ordering=1,
    )
    tiers = [PriceTier(unit_amount=Decimal("0.1"), up_to=1000), PriceTier(unit_amount=Decimal("0.05"))]
    usage = PlanCharge(charge_period="MONTHLY", price_data={"currency": "USD"}, tiers=tiers, advanced={})
    flat = PlanPriceInput.flat({CatalogChargePeriod.MONTHLY: Decimal("49.00")}, trial_days=14)
    charges = [
        *flat.charge_catalog_price,
        FeatureCharge(feature=calls.id, price_model=PriceModel.TIERED, charges=[usage]),
    ]
    price = PlanPriceInput(price_type="PAID", currency="USD", charge_catalog_price=charges)
    await kelviq.plans.set_prices("pro", [price, PlanPriceInput.free(currency="EUR")])
    limit = PlanEntitlementDetails(value=100, hard_limit=True, reset="EVERY_MONTH")
    await kelviq.plans.add_features("pro", [PlanFeatureInput(feature=calls.id, details=limit)])
    await kelviq.plans.publish("pro")
    return product, calls


async def test_every_answer_has_the_published_shape(world):
    async with Kelviq.local(world) as kelviq:
        keys = [(await kelviq.media.create_upload(name, "image/png")).file_key for name in ("a.png", "b.txt")]
        for key in keys:
            store(world, key, b"content")
        product, calls = await sell(kelviq, keys)
        await kelviq.products.list()
        await kelviq.products.update(product.id, name="Suite 2")
        await kelviq.products.update_settings(product.id, tor=False)
        await kelviq.products.settings(product.id)
        image = (await kelviq.products.retrieve(product.id)).images[0]
        await kelviq.products.update_image(product.id, image.id, name="New")
        await kelviq.products.delete_image(product.id, image.id)
        await kelviq.features.list()
        await kelviq.features.retrieve(calls.id)
        plan = await kelviq.plans.retrieve("pro")
        await kelviq.plans.list()
        await kelviq.plans.prices("pro")
        await kelviq.plans.features("pro")
        await kelviq.plans.locate_file("pro", plan.files[0].id)
        await kelviq.customers.create("user-1", billing_address=BillingAddress(country="FR"))
        await kelviq.offerings.get(product.id, customer_id="user-1")
        await kelviq.plans.update("pro", name="Pro 2")
        await kelviq.plans.discard_draft("pro")
        await kelviq.plans.update_feature("pro", "calls", PlanEntitlementDetails(value=5))
        await kelviq.plans.remove_feature("pro", "calls")
        await kelviq.plans.update_file("pro", plan.files[0].id, name="New")
        await kelviq.plans.delete_file("pro", plan.files[0].id)
        await kelviq.plans.archive("pro")
        await kelviq.features.archive(calls.id)
        await kelviq.products.archive(product.id)
        await kelviq.promotions.get("promo")
        made = await kelviq.partner.provision("acme", "owner@acme.example")
        await kelviq.partner.list()
        await kelviq.partner.retrieve(made.organization_identifier)
        await kelviq.partner.retrieve_by_external_id("acme")
    ours = {name for name, fact in FACTS["operations"].items() if fact["path"].startswith(AREAS)}
    assert ours - world.seen == set()
