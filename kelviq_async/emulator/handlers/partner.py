"""Partner: organisations set up for others."""

from __future__ import annotations

import re
from typing import Any, Final

from ... import codec
from ...api.partner import (
    ListOrganizations,
    PartnerOrganization,
    ProvisionOrganization,
    RetrieveOrganization,
    RetrieveOrganizationByExternalId,
)
from ..core import Core
from ..refusals import bad_field, detail, not_found
from ..registry import Reply, handles
from ..state import OrganizationRow

LONGEST_ID: Final = 128
LONGEST_NAME: Final = 200


def shown(row: OrganizationRow) -> PartnerOrganization:
    """An organisation as the API shows it, its owner's id being a number."""
    data: dict[str, Any] = {
        "userId": row.user_id,
        "organizationIdentifier": row.identifier,
        "organizationSlug": row.slug,
        "clientKey": row.client_key,
        "serverKey": row.server_key,
        "partnerExternalId": row.external_id,
    }
    loaded: PartnerOrganization = codec.load(PartnerOrganization, data)
    return loaded


@handles(ProvisionOrganization, status=201)
def provision(world: Core, request: ProvisionOrganization) -> PartnerOrganization:
    """400 where the partner's id is taken, 409 where the owner's email address is."""
    rows, name = world.state.organizations.values(), request.business_name or ""
    if not 1 <= len(request.external_id) <= LONGEST_ID:
        raise bad_field("externalId", f"It takes 1 to {LONGEST_ID} characters.")
    if not re.fullmatch(r"[^@\s]+@[^@\s]+", request.email):
        raise bad_field("email", "Enter a valid email address.")
    if len(name) > LONGEST_NAME:
        raise bad_field("businessName", f"It takes at most {LONGEST_NAME} characters.")
    if any(row.external_id == request.external_id for row in rows):
        raise bad_field("externalId", "An organization with this externalId already exists.")
    if any(row.email.lower() == request.email.lower() for row in rows):
        raise detail(409, "An account with this email already exists.")
    row = OrganizationRow(
        user_id=world.next_number("user"),
        identifier=world.new_id(),
        slug=_slug(name or request.external_id, {row.slug for row in rows}),
        external_id=request.external_id,
        email=request.email,
        client_key=world.new_token("ck_test_", 24),
        server_key=world.new_token("sk_test_", 24),
    )
    world.state.organizations[row.identifier] = row
    return shown(row)


@handles(ListOrganizations)
def list_organizations(world: Core, request: ListOrganizations) -> Reply:
    """All of them at once; the answer has no links to other pages."""
    wanted = request.external_id
    rows = [row for row in world.state.organizations.values() if wanted is None or row.external_id == wanted]
    results = codec.dump([shown(row) for row in rows], nulls=True)
    return Reply(200, {"results": results, "count": len(rows)}, {})


@handles(RetrieveOrganization)
def retrieve(world: Core, request: RetrieveOrganization) -> PartnerOrganization:
    """By Kelviq's id."""
    row = world.state.organizations.get(request.identifier)
    if row is None:
        raise not_found("Organization")
    return shown(row)


@handles(RetrieveOrganizationByExternalId)
def retrieve_by_external_id(world: Core, request: RetrieveOrganizationByExternalId) -> PartnerOrganization:
    """By the partner's own id."""
    for row in world.state.organizations.values():
        if row.external_id == request.external_id:
            return shown(row)
    raise not_found("Organization")


def _slug(name: str, taken: set[str]) -> str:
    """A name for addresses, with a number behind it where somebody has it already."""
    plain = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or "organization"
    slug, number = plain, 1
    while slug in taken:
        number += 1
        slug = f"{plain}-{number}"
    return slug
