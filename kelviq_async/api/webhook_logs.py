"""Webhook logs: which events Kelviq delivered to you, and how each attempt went."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

from ..model import Model, field, model
from ..request import Namespace, Page, Request, call, get, pages


@model
class WebhookLog(Model):
    """One attempt to deliver an event.

    Attributes:
        id: Kelviq's id of the attempt.
        event_id: Id of the event; the same for all attempts.
        endpoint: Kelviq's id of your endpoint.
        event_type: Type of the event, such as ``"order.created"``.
        status_code: HTTP status that your endpoint answered with, or None where it did not.
        is_success: Whether it was delivered.
        retry_count: How many attempts were made before this one.
        last_attempt: When this attempt was made.
        created_on: When the event itself was made.
        payload: What was sent.
    """

    id: str
    event_id: str
    endpoint: str
    event_type: str
    status_code: int | None = None
    is_success: bool
    retry_count: int
    last_attempt: datetime
    created_on: datetime
    payload: dict[str, Any] = field(secret=True)


@get("/webhook/logs/")
class ListWebhookLogs(Request[Page[WebhookLog]]):
    """One page of delivery attempts of the last 30 days, newest first. Kelviq API: GET /webhook/logs/.

    Args:
        start_date: Only attempts of this day and later, but never older than 30 days.
        end_date: Only attempts of this day and earlier.
        page: Which page, from 1.
        page_size: Rows on a page, at most 100; Kelviq takes 10 where none is given.
    """

    start_date: date | None = field(default=None, kw_only=True)
    end_date: date | None = field(default=None, kw_only=True)
    page: int | None = field(default=None, kw_only=True)
    page_size: int | None = field(default=None, kw_only=True)


class WebhookLogs(Namespace):
    """How deliveries of events to you went."""

    list = call(ListWebhookLogs)
    each = pages(ListWebhookLogs)
