"""Promotions: discounts by country, and the banner that tells of them."""

from __future__ import annotations

from decimal import Decimal

from ..model import Model, OpenEnum, field, model
from ..request import EDGE, Key, Namespace, Request, call, get


class PromotionWidgetType(OpenEnum):
    """How a promotion is shown."""

    BANNER = "BANNER"


class PromotionPlacement(OpenEnum):
    """Where on the page a promotion is shown."""

    TOP = "top"
    BOTTOM = "bottom"


@model
class PromotionWidget(Model):
    """What a promotion looks like on your page. Colours and sizes are CSS.

    Attributes:
        type: How it is shown.
        background_color: Colour behind the text.
        font_color: Colour of the text.
        highlight_font_color: Colour of the words that stand out.
        font_size: Size of the text, such as ``"1rem"``.
        border_radius: How round the corners are.
        placement: Where on the page it is shown.
        un_styled: Whether Kelviq's own style is left off.
        add_close_icon: Whether visitors can close it.
        country_message: The text in HTML, with placeholders such as ``{country}`` in it.
    """

    type: PromotionWidgetType
    background_color: str
    font_color: str
    highlight_font_color: str
    font_size: str
    border_radius: str
    placement: PromotionPlacement
    un_styled: bool
    add_close_icon: bool
    country_message: str


@model
class PromotionSecurity(Model):
    """What seems to hide where the visitor really is.

    Attributes:
        vpn: Whether they come over a VPN.
        tor: Whether they come over Tor.
        proxy: Whether they come over a proxy.
        relay: Whether they come over a privacy relay.
        crawler: Whether it is a crawler.
    """

    vpn: bool
    tor: bool
    proxy: bool
    relay: bool
    crawler: bool


@model
class Promotion(Model):
    """The discount for the country that the call comes from.

    Attributes:
        country: Name of the country.
        country_code: Two-letter country code.
        percentage: Discount in percent.
        code: Discount code to enter at the checkout.
        message: A sentence from Kelviq; often empty.
        widgets: How to show it.
        security: What seems to hide where the visitor really is.
    """

    country: str
    country_code: str
    percentage: Decimal = field(form="number")
    code: str
    message: str
    widgets: list[PromotionWidget]
    security: PromotionSecurity


@get("/promotions", host=EDGE, key=Key.CLIENT)
class GetPromotion(Request[Promotion]):
    """The discount for where the call comes from; needs the client key. Kelviq API: GET /promotions.

    Args:
        promotion_id: The promotion's id, as the dashboard shows it.

    Raises:
        ConfigError: There is no client key.
        NotFound: There is no such promotion.
    """

    promotion_id: str


class Promotions(Namespace):
    """Discounts by country."""

    get = call(GetPromotion)
