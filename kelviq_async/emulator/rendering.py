"""From a page's values to HTML. The only file that knows jinja2, which comes with the extra ``cli``."""

from __future__ import annotations

import functools
from typing import Any, Final

import attrs

from . import wording

HINT: Final = (
    "The pages need jinja2: python -m pip install 'kelviq-async[cli]'\n"
    "The API and /_emulator/ work without.\n"
)


@attrs.frozen
class Page:
    """A page to show.

    Attributes:
        template: File name of the template.
        values: What it shows.
        status: HTTP status.
    """

    template: str
    values: dict[str, Any] = attrs.Factory(dict)
    status: int = 200


@attrs.frozen
class Redirect:
    """A page that is elsewhere.

    Attributes:
        url: Its address.
    """

    url: str


@functools.cache
def _environment() -> Any:
    import jinja2  # noqa: PLC0415  only who shows pages needs it

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("kelviq_async.emulator"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(money=wording.money, moment=wording.moment, day=wording.day)
    return environment


def installed() -> bool:
    """Whether pages can be shown at all."""
    try:
        _environment()
    except ModuleNotFoundError:
        return False
    return True


def rendered(page: Page, **more: Any) -> str:
    """A page as HTML."""
    text: str = _environment().get_template(page.template).render({**page.values, **more})
    return text
