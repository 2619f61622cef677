"""Portal: the pages where customers look after their own billing."""

from __future__ import annotations

from ..model import Model, field, model
from ..request import Namespace, Request, call, post


@model
class PortalSession(Model):
    """A customer's way into the portal. Whoever has it is let in as that customer.

    Attributes:
        token: What the portal lets them in with.
        email: The customer's email address.
        customer_portal_url: Where to send the customer.
    """

    token: str = field(secret=True)
    email: str = field(secret=True)
    customer_portal_url: str = field(secret=True)


@post("/portal/session/")
class CreatePortalSession(Request[PortalSession]):
    """Let a customer into the portal. Kelviq API: POST /portal/session/.

    Args:
        customer_id: Your id of the customer, who must have an email address.

    Raises:
        BadRequest: There is no such customer, or they have no email; ``fields`` has ``customer_id``.
    """

    customer_id: str


class Portal(Namespace):
    """The pages where customers look after their own billing."""

    create_session = call(CreatePortalSession)
