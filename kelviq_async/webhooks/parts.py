"""What payloads are made of: who and what they name, and what they have in common."""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar, Literal

from ..api.features import FeatureType
from ..model import Model, field, model


@model
class Snake(Model):
    """Webhooks spell names in snake_case, unlike the REST API."""

    spelling: ClassVar[Literal["camel", "snake"]] = "snake"


@model
class Address(Snake):
    """Where somebody is billed.

    Attributes:
        line1: Street and number.
        line2: Second line of the street.
        city: City.
        state: State or province.
        postal_code: Postal code.
        country: Two-letter country code.
    """

    line1: str | None = None
    line2: str | None = None
    city: str | None = None
    state: str | None = None
    postal_code: str | None = None
    country: str | None = None


@model
class CustomerBrief(Snake):
    """The customer that something belongs to.

    Attributes:
        id: Kelviq's id.
        customer_id: Your own id.
        name: Name, if known.
        email: Email address, if known.
        billing_address: Where they are billed.
    """

    id: str
    customer_id: str = field(form="id")
    name: str | None = None
    email: str | None = field(default=None, secret=True)
    billing_address: Address | None = field(default=None, secret=True)


@model
class PlanBrief(Snake):
    """The plan that was bought.

    Attributes:
        identifier: Your own short name.
        name: Name to show.
        version: Which published version.
    """

    identifier: str
    name: str
    version: int


@model
class ProductBrief(Snake):
    """The product that a plan belongs to.

    Attributes:
        id: Kelviq's id.
        name: Name to show.
    """

    id: str
    name: str


@model
class FeatureBrief(Snake):
    """The feature that an alert is about.

    Attributes:
        id: Kelviq's id.
        identifier: Your own short name.
        name: Name to show.
        feature_type: Switch, value or meter.
    """

    id: str
    identifier: str
    name: str
    feature_type: FeatureType


@model
class Payload(Snake):
    """What all of them have.

    Attributes:
        object: What it is, such as ``"order"``.
        organization: Kelviq's id of your organisation.
    """

    object: str
    organization: str


@model
class OfCustomer(Payload):
    """What belongs to a customer.

    Attributes:
        customer: Who that is.
    """

    customer: CustomerBrief

    @property
    def external_customer_id(self) -> str | None:
        """Your own id of the customer, or None where the event does not tell."""
        # Not the outer `customer_id` that some payloads have: on most, that one is Kelviq's.
        return getattr(self.customer, "customer_id", None)


@model
class Record(OfCustomer):
    """What is dated, too.

    Attributes:
        created_on: When it was made.
        modified_on: When it last changed.
    """

    created_on: datetime
    modified_on: datetime
