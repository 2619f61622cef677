"""A world in which every operation can be called, and a request for each that works in it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import kelviq_async as k
from kelviq_async.cli.catalog import stock
from kelviq_async.emulator import World

NOW = datetime(2026, 1, 31, tzinfo=UTC)
SUCCESS = "https://yourapp.com/success"

Requests = dict[str, Callable[[], k.Request[Any]]]


async def bought(kelviq: k.Kelviq, world: World, customer_id: str, plan: str = "pro", **options: Any) -> str:
    """Have a customer buy a plan; the checkout's id."""
    period = options.pop("period", k.ChargePeriod.MONTHLY)
    link = await kelviq.checkout.create_session(plan, period, SUCCESS, customer_id=customer_id, **options)
    world.pay(link.checkout_session_id)
    return link.checkout_session_id


async def furnished() -> tuple[World, Requests]:
    """The world and the requests, each made when it is asked for."""
    world = World(now=NOW, strict=True)
    async with k.Kelviq.local(world) as kelviq:
        goods = await stock(kelviq)
        product, feature = goods.product.id, goods.features[1].id
        await kelviq.customers.create("user-123", name="Ada", email="ada@example.com")
        await kelviq.customers.create("leaver", email="leaver@example.com")

        licence = k.LicenseConfig(
            enabled=True, activation_limit=3, activation_limit_enabled=True, has_expiry=False
        )
        uploads = [await kelviq.media.upload(b"x", file_name=f"file-{n}.png") for n in range(4)]
        await kelviq.plans.create(
            "Lifetime", product, identifier="lifetime", license=licence, file_keys=uploads[:2]
        )
        price = k.PlanPriceInput.flat({k.CatalogChargePeriod.ONE_TIME: Decimal(99)})
        await kelviq.plans.set_prices("lifetime", [price])
        await kelviq.plans.publish("lifetime")
        files = [file.id for file in (await kelviq.plans.retrieve("lifetime")).files]
        await kelviq.products.update(product, image_keys=uploads[2:])
        images = [image.id for image in (await kelviq.products.retrieve(product)).images]

        for plan in ("draft-a", "draft-b", "draft-c"):
            await kelviq.plans.create(plan, product, identifier=plan)
            await kelviq.plans.set_prices(plan, [price])
        details = k.PlanEntitlementDetails(value=10)
        await kelviq.plans.add_features("draft-a", [k.PlanFeatureInput(feature=feature, details=details)])
        await kelviq.plans.add_features("draft-c", [k.PlanFeatureInput(feature=feature, details=details)])
        spare = await kelviq.features.create("Spare", k.FeatureType.BOOLEAN, identifier="spare")
        other = await kelviq.products.create("Other", k.TaxCode.EBOOK)

        session = await bought(kelviq, world, "user-123")
        await bought(kelviq, world, "leaver")
        await bought(kelviq, world, "user-123", "lifetime", period=k.ChargePeriod.ONE_TIME)
        mine = await kelviq.subscriptions.current("user-123")
        leaving = await kelviq.subscriptions.current("leaver")
        assert mine is not None
        assert leaving is not None
        orders = [order.id async for order in kelviq.orders.each()]
        refunded = (await kelviq.refunds.create(orders[0], amount_units=100)).id
        (key,) = {row.license_key for row in world.state.licenses.values()}
        active = await kelviq.licenses.activate(key, customer_id="user-123", instance_name="laptop")
        leaver_gone = (
            await kelviq.licenses.activate(key, customer_id="user-123", instance_name="old laptop")
        ).instance_id
        organization = await kelviq.partner.provision("first", "first@example.com")
    world.state.promotions["promo-1"] = _promotion()
    month = k.ChargePeriod.MONTHLY
    requests: Requests = {
        "ListCustomers": k.ListCustomers,
        "CreateCustomer": lambda: k.CreateCustomer("new", name="Eve", metadata={"snake_key": 1}),
        "RetrieveCustomer": lambda: k.RetrieveCustomer("user-123"),
        "UpdateCustomer": lambda: k.UpdateCustomer("user-123", name=None),
        "ArchiveCustomer": lambda: k.ArchiveCustomer("leaver"),
        "CreateCheckoutSession": lambda: k.CreateCheckoutSession(
            "pro", month, SUCCESS, customer_id="user-123"
        ),
        "ListCheckoutSessions": k.ListCheckoutSessions,
        "RetrieveCheckoutSession": lambda: k.RetrieveCheckoutSession(session),
        "ListCheckoutSessionEvents": lambda: k.ListCheckoutSessionEvents(session),
        "GetEntitlements": lambda: k.GetEntitlements("user-123"),
        "ActivateLicense": lambda: k.ActivateLicense(key, customer_id="user-123", instance_name="phone"),
        "DeactivateLicense": lambda: k.DeactivateLicense(key, leaver_gone),
        "ValidateLicense": lambda: k.ValidateLicense(key, instance_id=active.instance_id),
        "ReportUsage": lambda: k.ReportUsage(3, "user-123", "max-projects", k.UsageBehaviour.DELTA),
        "ReportEvent": lambda: k.ReportEvent("user-123", "api_invoked", "key-1", NOW),
        "ListTransactions": k.ListTransactions,
        "ListOrders": k.ListOrders,
        "RetrieveOrder": lambda: k.RetrieveOrder(orders[0]),
        "ListOrderEvents": lambda: k.ListOrderEvents(orders[0]),
        "ListWebhookLogs": k.ListWebhookLogs,
        "ListRefunds": k.ListRefunds,
        "CreateRefund": lambda: k.CreateRefund(orders[1], amount=Decimal("1.50")),
        "RetrieveRefund": lambda: k.RetrieveRefund(refunded),
        "CreateCharge": lambda: k.CreateCharge("lifetime", "user-123"),
        "ListSubscriptions": lambda: k.ListSubscriptions(customer_id="user-123"),
        "CreateSubscription": lambda: k.CreateSubscription("pro", month, "user-123"),
        "RetrieveSubscription": lambda: k.RetrieveSubscription(mine.id),
        "PreviewSubscriptionUpdate": lambda: k.PreviewSubscriptionUpdate(mine.id, "enterprise", month),
        "UpdateSubscription": lambda: k.UpdateSubscription(mine.id, "enterprise", month),
        "CancelSubscription": lambda: k.CancelSubscription(
            leaving.id, k.CancellationType.SPECIFIC_DATE, cancellation_date=date(2026, 2, 10)
        ),
        "GetProductOffering": lambda: k.GetProductOffering(product),
        "GetPromotion": lambda: k.GetPromotion("promo-1"),
        "CreatePortalSession": lambda: k.CreatePortalSession("user-123"),
        "ListProducts": k.ListProducts,
        "CreateProduct": lambda: k.CreateProduct("New", k.TaxCode.SAAS),
        "RetrieveProduct": lambda: k.RetrieveProduct(product),
        "UpdateProduct": lambda: k.UpdateProduct(product, name="Renamed"),
        "ArchiveProduct": lambda: k.ArchiveProduct(other.id),
        "RetrieveProductSettings": lambda: k.RetrieveProductSettings(product),
        "UpdateProductSettings": lambda: k.UpdateProductSettings(product, currency="EUR"),
        "UpdateProductImage": lambda: k.UpdateProductImage(product, images[0], name="front.png"),
        "DeleteProductImage": lambda: k.DeleteProductImage(product, images[1]),
        "ListFeatures": k.ListFeatures,
        "CreateFeature": lambda: k.CreateFeature("New", k.FeatureType.BOOLEAN),
        "RetrieveFeature": lambda: k.RetrieveFeature(feature),
        "ArchiveFeature": lambda: k.ArchiveFeature(spare.id),
        "ListPlans": k.ListPlans,
        "CreatePlan": lambda: k.CreatePlan("New", product),
        "RetrievePlan": lambda: k.RetrievePlan("pro", version=1),
        "UpdatePlan": lambda: k.UpdatePlan("enterprise", name="Enterprise 2"),
        "ArchivePlan": lambda: k.ArchivePlan("lifetime"),
        "PublishPlan": lambda: k.PublishPlan("draft-a"),
        "DiscardPlanDraft": lambda: k.DiscardPlanDraft("draft-b"),
        "ListPlanPrices": lambda: k.ListPlanPrices("pro"),
        "SetPlanPrices": lambda: k.SetPlanPrices("draft-c", [price]),
        "ListPlanFeatures": lambda: k.ListPlanFeatures("pro"),
        "AddPlanFeatures": lambda: k.AddPlanFeatures(
            "draft-c", [k.PlanFeatureInput(feature=spare.id, details=k.PlanEntitlementDetails(value=True))]
        ),
        "UpdatePlanFeature": lambda: k.UpdatePlanFeature("draft-c", feature, details),
        "RemovePlanFeature": lambda: k.RemovePlanFeature("draft-c", feature),
        "UpdatePlanFile": lambda: k.UpdatePlanFile("lifetime", files[0], name="terms.pdf"),
        "DeletePlanFile": lambda: k.DeletePlanFile("lifetime", files[1]),
        "LocatePlanFile": lambda: k.LocatePlanFile("lifetime", files[0]),
        "CreateUpload": lambda: k.CreateUpload("logo.png", "image/png"),
        "ProvisionOrganization": lambda: k.ProvisionOrganization("acme", "owner@example.com"),
        "ListOrganizations": k.ListOrganizations,
        "RetrieveOrganization": lambda: k.RetrieveOrganization(organization.organization_identifier),
        "RetrieveOrganizationByExternalId": lambda: k.RetrieveOrganizationByExternalId("first"),
        "ListPaymentMethods": lambda: k.ListPaymentMethods(customer_id="user-123"),
    }
    return world, requests


def _promotion() -> Any:
    from kelviq_async.emulator.state import PromotionRow

    return PromotionRow("promo-1", "WELCOME20", percentage="20", country_code="IN")
