"""How long answers may be used, and what to do when nothing is known."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import attrs

from ..checks import identifier_problem
from ..config import FOREVER
from ..errors import ConfigError

Unknown = Literal["raise", "deny", "allow"]


def _check_seconds(name: str, value: object) -> None:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not 0 <= value <= FOREVER:  # type: ignore[operator]
        raise ConfigError(f"{name} must be a finite number of seconds, and not negative")


@attrs.frozen(kw_only=True)
class FeaturePolicy:
    """What holds for one feature in place of the general policy.

    Attributes:
        fresh: Seconds a grant is served without asking; None as the general policy has it.
        max_stale: Seconds a grant may be served while Kelviq cannot be asked; None likewise.
        unknown: What to do when nothing is known: ``"raise"`` the failure, ``"deny"`` or ``"allow"``.
    """

    fresh: float | None = None
    max_stale: float | None = None
    unknown: Unknown = "raise"

    def __attrs_post_init__(self) -> None:
        """Refuse what could never work."""
        for name in ("fresh", "max_stale"):
            if getattr(self, name) is not None:
                _check_seconds(f"feature policy: {name}", getattr(self, name))
        if self.fresh is not None and self.max_stale is not None and self.max_stale < self.fresh:
            raise ConfigError("feature policy: max_stale must not be below fresh")
        if self.unknown not in ("raise", "deny", "allow"):
            raise ConfigError('feature policy: unknown must be "raise", "deny" or "allow"')


@attrs.frozen(kw_only=True)
class CachePolicy:
    """How long answers about entitlements may be used. Age counts from the start of the call.

    Attributes:
        fresh: Seconds a grant is served without asking.
        denied: Seconds a denial is; short, as people upgrade and come straight back.
        revalidate: Seconds after ``fresh`` in which a grant is served and refreshed behind the scenes.
        max_stale: Seconds up to which a grant is served while Kelviq cannot be asked.
        max_customers: How many customers are kept in memory.
        features: What holds for single features, by their short names.
    """

    fresh: float = 60.0
    denied: float = 5.0
    revalidate: float = 30.0
    max_stale: float = 900.0
    max_customers: int = 100_000
    features: Mapping[str, FeaturePolicy] = attrs.field(factory=dict)

    def __attrs_post_init__(self) -> None:
        """Refuse what could never work."""
        for name in ("fresh", "denied", "revalidate", "max_stale"):
            _check_seconds(f"cache policy: {name}", getattr(self, name))
        if self.max_stale < self.fresh:
            raise ConfigError("cache policy: max_stale must not be below fresh")
        if type(self.max_customers) is not int or self.max_customers < 1:
            raise ConfigError("cache policy: max_customers must be a whole number of at least 1")
        if not isinstance(self.features, Mapping):
            raise ConfigError("cache policy: features must be a mapping of feature ids to FeaturePolicy")
        for feature_id, policy in self.features.items():
            problem = identifier_problem(feature_id)
            if problem:
                raise ConfigError(f"cache policy: a feature id {problem}")
            if not isinstance(policy, FeaturePolicy):
                raise ConfigError(f"cache policy: {feature_id} needs a FeaturePolicy")
            if self.stale_for(feature_id) < self.fresh_for(feature_id):
                raise ConfigError(f"cache policy: max_stale of {feature_id} must not be below its fresh")

    def fresh_for(self, feature_id: str) -> float:
        """Seconds a grant of this feature is served without asking."""
        own = self.features.get(feature_id)
        return self.fresh if own is None or own.fresh is None else own.fresh

    def stale_for(self, feature_id: str) -> float:
        """Seconds up to which a grant of this feature is served while Kelviq cannot be asked."""
        own = self.features.get(feature_id)
        return self.max_stale if own is None or own.max_stale is None else own.max_stale

    def unknown_for(self, feature_id: str) -> Unknown:
        """What to do when nothing is known of this feature."""
        own = self.features.get(feature_id)
        return "raise" if own is None else own.unknown
