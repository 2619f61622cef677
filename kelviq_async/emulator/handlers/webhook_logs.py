"""Webhook logs: the attempts of the last 30 days."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from ...api.webhook_logs import ListWebhookLogs, WebhookLog
from ..core import Core
from ..registry import Listed, handles
from ..state import AttemptRow

REACH: Final = timedelta(days=30)


@handles(ListWebhookLogs)
def list_webhook_logs(world: Core, request: ListWebhookLogs) -> Listed[AttemptRow]:
    """Newest first. Days are those of the attempt, in UTC; nothing reaches back further than 30 days."""
    oldest, first, last = world.now() - REACH, request.start_date, request.end_date
    rows = [
        row
        for row in reversed(world.state.attempts)
        if row.at >= oldest
        and (first is None or row.at.date() >= first)
        and (last is None or row.at.date() <= last)
    ]
    return Listed(rows, lambda row: _shown(world, row))


def _shown(world: Core, row: AttemptRow) -> WebhookLog:
    delivery = world.state.deliveries[row.delivery_id]
    return WebhookLog(
        id=row.id,
        event_id=delivery.event_id,
        endpoint=delivery.endpoint_id,
        event_type=delivery.event_type,
        status_code=row.status_code,
        is_success=row.success,
        retry_count=row.number,
        last_attempt=row.at,
        created_on=delivery.created_on,
        payload=delivery.payload,
    )
