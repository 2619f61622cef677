"""The customer portal: its door."""

from __future__ import annotations

from typing import Final

from ...api.portal import CreatePortalSession, PortalSession
from ..core import Core
from ..refusals import bad_field
from ..registry import handles
from ..state import PortalRow

PAGE: Final = "/portal/"
"""Where the portal is; a session's token goes behind it as ``?token=``."""


@handles(CreatePortalSession)
def create_session(world: Core, request: CreatePortalSession) -> PortalSession:
    """For customers with an email only, which is what the token is tied to."""
    row = world.state.customers.get(request.customer_id)
    if row is None or row.archived:
        raise bad_field("customerId", "Invalid customer id")
    if not row.email:
        raise bad_field("customerId", "Customer does not have an email")
    token = f"cpt-{world.new_id()}:{world.new_id()}"
    world.state.portals[token] = PortalRow(token, row.customer_id, world.now())
    return PortalSession(token=token, email=row.email, customer_portal_url=f"{world.url}{PAGE}")
