"""Licences: keys that customers activate on their machines, and that your software asks about."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from ..errors import CodecError
from ..model import UNSET, Model, OpenEnum, Unset, field, model
from ..request import Namespace, Request, call, post
from .periods import BillingType


class LicenseCode(OpenEnum):
    """What was found out about a licence key."""

    VALID = "VALID"
    INVALID_KEY = "INVALID_KEY"
    INSTANCE_NOT_FOUND = "INSTANCE_NOT_FOUND"


@model
class LicenseCustomer(Model):
    """Whose licence it is.

    Attributes:
        customer_id: Your id of the customer.
        name: Name to show.
        email: Email address.
    """

    customer_id: str
    name: str
    email: str = field(secret=True)


@model
class LicenseProduct(Model):
    """The product that is licensed.

    Attributes:
        id: Kelviq's id.
        identifier: Your own short name for it.
        name: Name to show.
        tax_code: What kind of thing it is, for taxes.
        created_on: When it was created.
        modified_on: When it last changed.
    """

    id: str
    identifier: str
    name: str
    tax_code: str
    created_on: datetime
    modified_on: datetime


@model
class LicensePlan(Model):
    """The plan that a licence came with.

    Attributes:
        identifier: Your own short name for it.
        name: Name to show.
        description: What it is.
        product: The product it belongs to.
        version: Which version of the plan, from 1.
        is_latest: Whether there is no newer version.
    """

    identifier: str
    name: str
    description: str
    product: LicenseProduct
    version: int
    is_latest: bool


@model
class LicenseSubscription(Model):
    """The subscription or purchase that a licence came with.

    Attributes:
        id: Kelviq's id.
        recurrence: How often it is charged, such as ``"1 month"``.
        billing_period_start_time: Start of the paid period.
        billing_period_end_time: End of the paid period.
        start_date: First day.
        end_date: Last day, or None while it goes on.
        status: Its state, such as ``"active"``.
        amount: What it costs each time, in whole currency (``49.00`` is 49 dollars).
        currency: Three-letter currency code.
        trial_days_remaining: Days of trial that are left.
        billing_type: Whether it is paid again and again, or once.
        recurrence_unit: How many ``recurrence_type`` lie between two payments.
        recurrence_type: Unit of time between two payments, such as ``"MONTH"``.
    """

    id: str
    recurrence: str | None = None
    billing_period_start_time: datetime | None = None
    billing_period_end_time: datetime | None = None
    start_date: date
    end_date: date | None = None
    status: str | None = None
    amount: Decimal | None = None
    currency: str | None = None
    trial_days_remaining: int
    billing_type: BillingType
    recurrence_unit: int | None = None
    recurrence_type: str | None = None


@model
class LicenseDetails(Model):
    """A licence, and what it came with.

    Attributes:
        id: Kelviq's id.
        license_key: The key itself.
        activated_on: When it was first activated, if it was.
        expires_on: When it ends, or None where it does not.
        activation_usage: On how many machines it is active.
        activation_limit: On how many machines it may be active.
        enabled: Whether it was not switched off.
        customer: Whose it is.
        plan: The plan it came with.
        subscription: The subscription or purchase it came with, if there is one.
    """

    id: str
    license_key: str = field(secret=True)
    activated_on: datetime | None = None
    expires_on: datetime | None = None
    activation_usage: int
    activation_limit: int
    enabled: bool
    customer: LicenseCustomer
    plan: LicensePlan
    subscription: LicenseSubscription | None = None


@model
class LicenseActivation(Model):
    """A seat that was taken for one machine.

    Attributes:
        instance_id: Kelviq's id of the seat; keep it to validate and deactivate with.
        activated_at: When the seat was taken.
        expires_on: When the licence ends, or None where it does not.
        license: The licence.
    """

    instance_id: str
    activated_at: datetime
    expires_on: datetime | None = None
    license: LicenseDetails


@model
class LicenseDeactivation(Model):
    """A seat that was freed.

    Attributes:
        message: A sentence from Kelviq.
        deactivated_at: When the seat was freed.
    """

    message: str
    deactivated_at: datetime


@model
class LicenseValidation(Model):
    """Whether a licence key, or one seat of it, is good.

    Attributes:
        valid: Whether it is.
        code: What was found out.
        detail: The same as a sentence.
        metadata: What you noted when the seat was taken.
        license: The licence; None where the key or the seat is unknown.
    """

    valid: bool
    code: LicenseCode
    detail: str
    metadata: dict[str, Any]
    license: LicenseDetails


@post("/license/activate/")
class ActivateLicense(Request[LicenseActivation]):
    """Take a seat of a licence for one machine. Kelviq API: POST /license/activate/.

    Args:
        license_key: The key that the customer entered.
        customer_id: Your id of the customer, to make sure that the key is theirs.
        instance_name: Name of the machine, to show.
        metadata: Your own notes about the machine.

    Raises:
        Forbidden: The licence has expired, or all of its seats are taken.
        NotFound: There is no such key, or it is not this customer's.
    """

    license_key: str = field(secret=True)
    customer_id: str | Unset = field(default=UNSET, kw_only=True)
    instance_name: str | Unset = field(default=UNSET, kw_only=True)
    metadata: dict[str, Any] | Unset = field(default=UNSET, kw_only=True)


@post("/license/deactivate/")
class DeactivateLicense(Request[LicenseDeactivation]):
    """Free a seat of a licence. Kelviq API: POST /license/deactivate/.

    Args:
        license_key: The key.
        instance_id: The seat, as the activation called it.

    Raises:
        NotFound: The key has no such seat.
    """

    license_key: str = field(secret=True)
    instance_id: str


@post("/license/validate/", answers={404: LicenseValidation}, repeatable=True)
class ValidateLicense(Request[LicenseValidation]):
    """Ask whether a licence key is good. Kelviq API: POST /license/validate/.

    An unknown key or seat is an answer too, with ``valid`` False; nothing is raised for it.

    Args:
        license_key: The key that the customer entered.
        instance_id: The seat to ask about, as the activation called it; without it, only the key counts.

    Raises:
        BadRequest: ``fields`` says which part was not accepted.
        NotFound: Kelviq answered 404 without a verdict.
    """

    license_key: str = field(secret=True)
    instance_id: str | Unset = field(default=UNSET, kw_only=True)

    def read(self, status: int, data: Any, headers: Mapping[str, str]) -> LicenseValidation:
        """The answer; a 404 is one only with a verdict in it.

        Args:
            status: A 2xx, or 404.
            data: Decoded JSON, or None where the body was empty.
            headers: The answer's headers.

        Raises:
            CodecError: The data is no such answer.
        """
        verdict = isinstance(data, dict) and isinstance(data.get("valid"), bool)
        if status == 404 and not verdict:
            raise CodecError("a 404 without a verdict on the licence key")
        return super().read(status, data, headers)


class Licenses(Namespace):
    """Keys that customers activate on their machines."""

    activate = call(ActivateLicense)
    deactivate = call(DeactivateLicense)
    validate = call(ValidateLicense)
