"""Promotions: the discount for a country and the banner that tells of it."""

from __future__ import annotations

from decimal import Decimal

from ...api.promotions import (
    GetPromotion,
    Promotion,
    PromotionPlacement,
    PromotionSecurity,
    PromotionWidget,
    PromotionWidgetType,
)
from ..core import Core
from ..pricing import exact_decimal
from ..refusals import not_found
from ..registry import handles
from .offerings import COUNTRIES, HOME


@handles(GetPromotion)
def get_promotion(world: Core, request: GetPromotion) -> Promotion:
    """As seen from the promotion's own country; a fixed amount off counts as no percentage."""
    row = world.state.promotions.get(request.promotion_id)
    if row is None:
        raise not_found("Promotion")
    code = (row.country_code or HOME).upper()
    return Promotion(
        country=COUNTRIES[code].name if code in COUNTRIES else code,
        country_code=code,
        percentage=exact_decimal(row.percentage) if row.percentage is not None else Decimal(0),
        code=row.code,
        message="",
        widgets=[
            PromotionWidget(
                type=PromotionWidgetType.BANNER,
                background_color="#3182CE",
                font_color="#F9F9F9",
                highlight_font_color="#DD5C64",
                font_size="1rem",
                border_radius="0",
                placement=PromotionPlacement.TOP,
                un_styled=False,
                add_close_icon=False,
                country_message="{country}: {discount_percentage}% off with <b>{coupon_code}</b>",
            )
        ],
        security=PromotionSecurity(vpn=False, tor=False, proxy=False, relay=False, crawler=False),
    )
