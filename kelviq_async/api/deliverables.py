"""What the buyers of a plan are handed: licence keys, links and files."""

from __future__ import annotations

from ..model import Model, OpenEnum, field, model


class DurationUnit(OpenEnum):
    """What a licence's duration is counted in."""

    DAY = "DAY"
    MONTH = "MONTH"
    YEAR = "YEAR"


@model
class LicenseConfig(Model):
    """Whether and how a plan hands out licence keys.

    Attributes:
        enabled: Whether each order gets a key.
        activation_limit: On how many instances a key may be active at once.
        activation_limit_enabled: Whether that limit counts.
        duration_unit: What the duration is counted in.
        duration_value: How long a key is good.
        has_expiry: Whether a key ends at all.
    """

    enabled: bool = field(default=None)
    activation_limit: int = field(default=None)
    activation_limit_enabled: bool = field(default=None)
    duration_unit: DurationUnit = field(default=None)
    duration_value: int = field(default=None)
    has_expiry: bool = field(default=None)


@model
class PlanLink(Model):
    """A link that buyers of a plan are given.

    Attributes:
        name: What it is called.
        url: Where it leads.
    """

    name: str = field(default=None)
    url: str = field(default=None)


@model
class PlanFile(Model):
    """A file that buyers of a plan are given.

    Attributes:
        id: Kelviq's id of the file.
        name: File name to show.
        file: Storage key or address.
        ordering: Position among the plan's files, from 0.
        enabled: Whether buyers see it.
        download_url: Address that leads to the file, good for whoever has it.
    """

    id: str
    name: str
    file: str = field(secret=True)
    ordering: int
    enabled: bool
    download_url: str = field(secret=True)


@model
class FileLocation(Model):
    """Where a file can be fetched from.

    Attributes:
        url: Address that is good for a while, for whoever has it.
    """

    url: str = field(secret=True)
