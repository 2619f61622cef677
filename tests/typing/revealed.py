"""What editors show for a method; tests/typing/test_types.py has the signatures."""

from typing import reveal_type

import kelviq_async
import kelviq_sync


def revealed(kelviq: kelviq_async.Kelviq, blocking: kelviq_sync.Kelviq) -> None:
    reveal_type(kelviq.customers.retrieve)
    reveal_type(kelviq.customers.create)
    reveal_type(kelviq.customers.each)
    reveal_type(kelviq.usage.report)
    reveal_type(blocking.customers.retrieve)
    reveal_type(blocking.customers.create)
    reveal_type(blocking.customers.each)
