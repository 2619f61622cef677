"""Licences: seats taken and freed, keys asked about."""

from __future__ import annotations

from typing import Any

from ... import codec
from ...api.licenses import (
    ActivateLicense,
    DeactivateLicense,
    LicenseActivation,
    LicenseCode,
    LicenseCustomer,
    LicenseDeactivation,
    LicenseDetails,
    LicensePlan,
    LicenseProduct,
    LicenseSubscription,
    LicenseValidation,
    ValidateLicense,
)
from .. import licensing, views
from ..catalog import plan_version
from ..core import Core
from ..refusals import Refusal
from ..registry import Reply, handles
from ..state import LicenseRow


@handles(ActivateLicense, status=201)
def activate(world: Core, request: ActivateLicense) -> LicenseActivation:
    """403 where the key has expired, was disabled, or has no seat left; 404 where it is not theirs."""
    row = world.state.licenses.get(request.license_key)
    if row is None or (request.customer_id and request.customer_id != row.customer_id):
        raise Refusal(404, {"error": "Invalid license key or customer ID."})
    if not row.enabled:
        raise Refusal(403, {"error": "This license is disabled."})
    if licensing.expired(row, world.now()):
        raise Refusal(403, {"error": "This license has expired."})
    if licensing.full(row):
        limit = row.activation_limit
        raise Refusal(403, {"error": f"Activation limit reached ({len(row.instances)}/{limit})."})
    instance = licensing.take_seat(world, row, request.instance_name or None, request.metadata or {})
    return LicenseActivation(
        instance_id=instance,
        activated_at=world.now(),
        expires_on=row.expires_on,
        license=shown(world, row),
    )


@handles(DeactivateLicense)
def deactivate(world: Core, request: DeactivateLicense) -> LicenseDeactivation:
    """Frees the seat."""
    row = world.state.licenses.get(request.license_key)
    if row is None or request.instance_id not in row.instances:
        raise Refusal(404, {"error": "Invalid license key or instance ID."})
    del row.instances[request.instance_id]
    return LicenseDeactivation(
        message="License instance deactivated successfully.", deactivated_at=world.now()
    )


@handles(ValidateLicense)
def validate(world: Core, request: ValidateLicense) -> Any:
    """What is unknown is answered with 404; a key that can be used no more is known, and not valid."""
    row = world.state.licenses.get(request.license_key)
    if row is None:
        return _unknown("INVALID_KEY", "License key not found.")
    instance = row.instances.get(request.instance_id) if request.instance_id else None
    if request.instance_id and instance is None:
        return _unknown("INSTANCE_NOT_FOUND", "Instance ID invalid for this license.")
    valid, code = True, "VALID"
    said = "Instance ID valid for this license." if instance else "License key is valid."
    if not row.enabled:
        valid, code, said = False, "DISABLED", "This license is disabled."
    elif licensing.expired(row, world.now()):
        valid, code, said = False, "EXPIRED", "This license has expired."
    return LicenseValidation(
        valid=valid,
        code=LicenseCode.other(code),
        detail=said,
        metadata=instance["metadata"] if instance else {},
        license=shown(world, row),
    )


def shown(world: Core, row: LicenseRow) -> LicenseDetails:
    """A licence as the API shows it, with what it came with."""
    customer = world.state.customers[row.customer_id]
    bought = world.state.subscriptions.get(row.subscription_id or "")
    limit: Any = row.activation_limit  # where there is none, the answer leaves it out
    return LicenseDetails(
        id=row.id,
        license_key=row.license_key,
        activated_on=row.activated_on,
        expires_on=row.expires_on,
        activation_usage=len(row.instances),
        activation_limit=limit,
        enabled=row.enabled,
        customer=LicenseCustomer(
            customer_id=customer.customer_id, name=customer.name or "", email=customer.email or ""
        ),
        plan=_plan(world, row),
        subscription=None
        if bought is None
        else LicenseSubscription(**views.terms(world, bought, counted=True)),
    )


def _plan(world: Core, row: LicenseRow) -> LicensePlan:
    plan = plan_version(world, row.plan_identifier, row.plan_version)
    product = world.state.products[plan.product_id]
    return LicensePlan(
        identifier=plan.identifier,
        name=plan.name,
        description=plan.description,
        product=LicenseProduct(
            id=product.id,
            identifier=product.identifier,
            name=product.name,
            tax_code=product.tax_code,
            created_on=product.modified_on,
            modified_on=product.modified_on,
        ),
        version=plan.version,
        is_latest=plan.state == "published",
    )


def _unknown(code: str, said: str) -> Reply:
    verdict = {"valid": False, "code": code, "detail": said, "metadata": {}}
    return Reply(404, codec.load(LicenseValidation, verdict), {})
