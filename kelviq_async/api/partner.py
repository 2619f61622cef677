"""Partner: organizations that you set up for others. Needs a partner key."""

from __future__ import annotations

from ..model import UNSET, Model, Unset, field, model
from ..request import Key, Namespace, Page, Request, call, get, pages, post


@model
class PartnerOrganization(Model):
    """An organization that you set up, with its keys.

    Attributes:
        user_id: Kelviq's id of the owner.
        organization_identifier: Kelviq's id of the organization.
        organization_slug: Its name in addresses.
        client_key: Its client key.
        server_key: Its server key.
        partner_external_id: Your own id for it.
    """

    user_id: str | None = field(default=None, form="id")
    organization_identifier: str
    organization_slug: str | None = None
    client_key: str | None = field(default=None, secret=True)
    server_key: str | None = field(default=None, secret=True)
    partner_external_id: str | None = None


@post("/partner/organizations/", key=Key.PARTNER)
class ProvisionOrganization(Request[PartnerOrganization]):
    """Set up an organization and its owner. Kelviq API: POST /partner/organizations/.

    Kelviq emails the owner a link to choose a password with.

    Args:
        external_id: Your own id for it, at most 128 characters.
        email: The owner's email address.
        business_name: Name of the business, at most 200 characters.

    Raises:
        BadRequest: You have an organization with this ``external_id`` already.
        Conflict: Somebody at Kelviq has this email address already.
    """

    external_id: str
    email: str = field(secret=True)
    business_name: str | Unset = field(default=UNSET, kw_only=True)


@get("/partner/organizations/", key=Key.PARTNER)
class ListOrganizations(Request[Page[PartnerOrganization]]):
    """All organizations that you set up; there are no pages. Kelviq API: GET /partner/organizations/.

    Args:
        external_id: Only the organization with this id of yours.
    """

    external_id: str | None = field(default=None, kw_only=True)


@get("/partner/organizations/{identifier}/", key=Key.PARTNER)
class RetrieveOrganization(Request[PartnerOrganization]):
    """Read one organization by Kelviq's id. Kelviq API: GET /partner/organizations/{identifier}/.

    Args:
        identifier: Kelviq's id, the ``organization_identifier``.

    Raises:
        NotFound: You have set up no such organization.
    """

    identifier: str


@get("/partner/organizations/by-external-id/{external_id}/", key=Key.PARTNER)
class RetrieveOrganizationByExternalId(Request[PartnerOrganization]):
    """Read one organization by your own id.

    Kelviq API: GET /partner/organizations/by-external-id/{externalId}/.

    Args:
        external_id: Your own id, as it was given when you set it up.

    Raises:
        NotFound: You have set up no such organization.
    """

    external_id: str


class Partner(Namespace):
    """Organizations that you set up for others."""

    provision = call(ProvisionOrganization)
    list = call(ListOrganizations)
    each = pages(ListOrganizations)
    retrieve = call(RetrieveOrganization)
    retrieve_by_external_id = call(RetrieveOrganizationByExternalId)
