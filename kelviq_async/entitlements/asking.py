"""What a failed question says: something about the customer, or nothing about anybody."""

from __future__ import annotations

from typing import Final

from ..errors import Forbidden, KelviqError, NotFound

ABOUT_WHO_IS_GONE: Final = ("not found", "unknown", "archived", "deleted", "exist", "no such")
"""What a 403 says of a customer who may use nothing any more; any other one may be about us."""
ABOUT_OUR_KEY: Final = ("key", "permission", "credential", "token", "scope", "authori", "authenti")
"""A 403 with one of these is about us, even if it names customers too."""


def about_customer(error: KelviqError) -> bool:
    """Whether a 403 or 404 is Kelviq's word on the customer, and not on our key or the address.

    A page of some proxy has no such body: it says nothing about anybody.
    """
    if not isinstance(error, NotFound | Forbidden):
        return False
    if "customer_id" in error.fields or "customer" in error.fields:
        return True
    said = f"{error.message} {error.code or ''}".lower()
    if isinstance(error, Forbidden):
        about = "customer" in said and any(word in said for word in ABOUT_WHO_IS_GONE)
        return about and not any(word in said for word in ABOUT_OUR_KEY)
    return "customer" in said or said.startswith("not found")
