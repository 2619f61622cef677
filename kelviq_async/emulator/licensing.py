"""Licence keys: issued with what was bought, good for as long as it is paid, taken by machines."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from .catalog import plan_version
from .core import Core
from .periods import license_expiry
from .state import LicenseRow, PlanRow, SubscriptionRow


def issue(world: Core, bought: SubscriptionRow, order_id: str | None = None) -> LicenseRow | None:
    """Issue the key that a plan says its buyers get, or None where it says none.

    Args:
        world: Where it is issued.
        bought: The subscription or one-time purchase it comes with; it takes note of it.
        order_id: The order it comes with.
    """
    plan = plan_version(world, bought.plan_identifier, bought.plan_version)
    if plan.license.get("enabled") is not True:
        return None
    now = world.now()
    limited = plan.license.get("activationLimitEnabled") is not False
    row = LicenseRow(
        id=world.new_id(),
        license_key=f"LIC-{world.new_id().upper()}",
        customer_id=bought.customer_id,
        plan_identifier=plan.identifier,
        plan_version=plan.version,
        created_on=now,
        subscription_id=bought.id,
        order_id=order_id,
        activation_limit=plan.license.get("activationLimit") if limited else None,
        expires_on=_expiry(plan, now),
    )
    world.state.licenses[row.license_key] = row
    bought.license_ids = [*bought.license_ids, row.license_key]
    return row


def prolong(world: Core, bought: SubscriptionRow) -> None:
    """A renewal that was paid lets the keys that expire last once more as long."""
    for row in of(world, bought):
        if row.expires_on is not None:
            plan = plan_version(world, row.plan_identifier, row.plan_version)
            row.expires_on = _expiry(plan, world.now())


def hand_over(world: Core, old: SubscriptionRow, new: SubscriptionRow) -> None:
    """An update keeps the keys there are, and issues one where only the new plan has keys."""
    new.license_ids = list(old.license_ids)
    for row in of(world, new):
        row.subscription_id = new.id
    if not new.license_ids:
        issue(world, new)


def disable(world: Core, bought: SubscriptionRow) -> None:
    """Whoever has a subscription no more can use its keys no more."""
    for row in of(world, bought):
        row.enabled = False


def of(world: Core, bought: SubscriptionRow) -> list[LicenseRow]:
    """The keys that came with a subscription or one-time purchase."""
    return [world.state.licenses[key] for key in bought.license_ids if key in world.state.licenses]


def expired(row: LicenseRow, now: datetime) -> bool:
    """Whether a key has had its time."""
    return row.expires_on is not None and row.expires_on <= now


def full(row: LicenseRow) -> bool:
    """Whether all of a key's seats are taken."""
    return row.activation_limit is not None and len(row.instances) >= row.activation_limit


def take_seat(world: Core, row: LicenseRow, name: str | None, metadata: dict[str, Any]) -> str:
    """Take a seat, which must be free, and return its id."""
    now = world.now()
    instance_id = world.new_id()
    row.instances[instance_id] = {"name": name, "metadata": metadata, "activatedAt": now.isoformat()}
    row.activated_on = row.activated_on or now
    return instance_id


def _expiry(plan: PlanRow, since: datetime) -> datetime | None:
    """When a key of this plan ends; without a duration it never does, nor after the calendar does."""
    unit, value = plan.license.get("durationUnit"), plan.license.get("durationValue")
    if plan.license.get("hasExpiry") is not True or not unit or not value:
        return None
    try:
        return license_expiry(since, unit, value)
    except OverflowError:
        return None
