"""Products: created, found, changed, archived; their settings and pictures."""

from __future__ import annotations

from collections.abc import Sequence
from operator import itemgetter
from typing import Any, Final

from ...api.products import (
    ArchiveProduct,
    CreateProduct,
    DeleteProductImage,
    ListProducts,
    Product,
    ProductImage,
    ProductSettings,
    ProductWithPlans,
    RetrieveProduct,
    RetrieveProductSettings,
    TaxCode,
    UpdateProduct,
    UpdateProductImage,
    UpdateProductSettings,
)
from ...model import UNSET
from ..catalog import new_identifier, published, subscribers
from ..core import Core
from ..refusals import bad_field, detail, not_found
from ..registry import Listed, handles
from ..state import PlanRow, ProductRow
from .media import address, after_last, change, file_of, keep, uploaded

SETTINGS: Final = {"vpn": True, "tor": True, "proxy": True, "currency": "USD", "product_url": None}
_CODE: Final = 3


def parts(world: Core, row: ProductRow) -> dict[str, Any]:
    """A product's fields as the API shows them."""
    return {
        "id": row.id,
        "identifier": row.identifier,
        "name": row.name,
        "description": row.description,
        "tax_code": TaxCode.other(row.tax_code),
        "created_by": "Emulator",
        "modified_on": row.modified_on,
        "images": [shown_image(world, image) for image in sorted(row.images, key=itemgetter("ordering"))],
    }


def shown_image(world: Core, image: dict[str, Any]) -> ProductImage:
    """A product's picture as the API shows it."""
    return ProductImage(
        id=image["id"],
        name=image["name"],
        image=address(world, image["key"]),
        ordering=image["ordering"],
        thumbnail=image["thumbnail"],
        enabled=image["enabled"],
    )


def living(world: Core, product_id: str) -> ProductRow:
    """A product that is not archived, or 404."""
    row = world.state.products.get(product_id)
    if row is None or row.archived:
        raise not_found("Product")
    return row


def settings_of(row: ProductRow) -> dict[str, Any]:
    """A product's settings; what nobody has set is as it is for all."""
    return {**SETTINGS, **row.settings}


def matches(wanted: str | None, *texts: str) -> bool:
    """Whether a search text is in one of these, in any letter case."""
    return any((wanted or "").lower() in text.lower() for text in texts)


@handles(ListProducts, page_size=100)
def list_products(world: Core, request: ListProducts) -> Listed[ProductRow]:
    """Newest first, without archived ones."""
    rows = [
        row
        for row in reversed(world.state.products.values())
        if not row.archived and matches(request.search, row.name, row.identifier, row.description)
    ]
    return Listed(rows, lambda row: Product(**parts(world, row)))


@handles(CreateProduct, status=201)
def create_product(world: Core, request: CreateProduct) -> Product:
    """The identifier stays taken, whatever becomes of the product."""
    taken = (row.identifier for row in world.state.products.values())
    identifier = new_identifier(request.identifier or None, request.name, taken)
    keys = uploaded(world, request.image_keys or (), "imageKeys")
    row = ProductRow(world.new_id(), identifier, request.name, str(request.tax_code), world.now())
    row.description = request.description or ""
    _add_images(world, row, keys)
    world.state.products[row.id] = row
    return Product(**parts(world, row))


@handles(RetrieveProduct)
def retrieve_product(world: Core, request: RetrieveProduct) -> ProductWithPlans:
    """Together with the identifiers of its published plans."""
    row = living(world, request.product_id)
    plans = [plan.identifier for plan in plans_of(world, row)]
    return ProductWithPlans(**parts(world, row), plans=plans)


@handles(UpdateProduct)
def update_product(world: Core, request: UpdateProduct) -> Product:
    """Pictures are added to those that are there. A file has no place to be shown, so it is only taken."""
    row = living(world, request.product_id)
    if request.name is not UNSET and not request.name.strip():
        raise bad_field("name", "This field may not be blank.")
    images = uploaded(world, request.image_keys or (), "imageKeys")
    files = uploaded(world, request.file_keys or (), "fileKeys")
    if set(images) & set(files):
        raise bad_field("fileKeys", "An upload is either a picture or a file.")
    for name in ("name", "description", "tax_code"):
        value = getattr(request, name)
        if value is not UNSET:
            setattr(row, name, str(value))
    _add_images(world, row, images)
    keep(world, f"products/{row.id}", files, 0)
    row.modified_on = world.now()
    return Product(**parts(world, row))


@handles(ArchiveProduct, status=204)
def archive_product(world: Core, request: ArchiveProduct) -> None:
    """400 where it is archived already, and while somebody has one of its plans."""
    row = world.state.products.get(request.product_id)
    if row is None:
        raise not_found("Product")
    if row.archived:
        raise detail(400, "Product is already archived.")
    if any(subscribers(world, plan.identifier) for plan in plans_of(world, row)):
        raise detail(400, "Product has published plans with subscriptions.")
    row.archived = True
    row.modified_on = world.now()


@handles(RetrieveProductSettings)
def retrieve_settings(world: Core, request: RetrieveProductSettings) -> ProductSettings:
    """Every product has settings."""
    return ProductSettings(**settings_of(living(world, request.product_id)))


@handles(UpdateProductSettings)
def update_settings(world: Core, request: UpdateProductSettings) -> ProductSettings:
    """Another currency makes the published plans' prices in it those that can be bought."""
    row = living(world, request.product_id)
    given = {name: getattr(request, name) for name in SETTINGS if getattr(request, name) is not UNSET}
    if "currency" in given:
        code = given["currency"] = given["currency"].upper()
        if len(code) != _CODE or not code.isalpha() or not code.isascii():
            raise bad_field("currency", "A currency is a three-letter code.")
        for plan in plans_of(world, row):
            for price in plan.prices:
                if price["currency"].upper() == code:
                    price["enabled"] = True
    if given.get("product_url") and not given["product_url"].lower().startswith(("http://", "https://")):
        raise bad_field("productUrl", "Enter a valid URL.")
    row.settings.update(given)
    row.modified_on = world.now()
    return ProductSettings(**settings_of(row))


@handles(UpdateProductImage)
def update_image(world: Core, request: UpdateProductImage) -> ProductImage:
    """There is one thumbnail at most."""
    row = living(world, request.product_id)
    image = file_of(row.images, request.image_id, "Image")
    if request.thumbnail:
        for other in row.images:
            other["thumbnail"] = False
    change(image, request, "name", "ordering", "thumbnail", "enabled")
    row.modified_on = world.now()
    return shown_image(world, image)


@handles(DeleteProductImage, status=204)
def delete_image(world: Core, request: DeleteProductImage) -> None:
    """The picture's file goes with it."""
    row = living(world, request.product_id)
    image = file_of(row.images, request.image_id, "Image")
    row.images.remove(image)
    world.state.uploads.pop(image["key"], None)
    row.modified_on = world.now()


def plans_of(world: Core, row: ProductRow) -> list[PlanRow]:
    """The published plans of a product, in the order they are to be shown in."""
    found = (published(world, identifier) for identifier in world.state.plans)
    plans = [plan for plan in found if plan is not None and plan.product_id == row.id]
    return sorted(plans, key=lambda plan: (plan.ordering is None, plan.ordering or 0))


def _add_images(world: Core, row: ProductRow, keys: Sequence[str]) -> None:
    """The first picture of a product is its thumbnail."""
    for image in keep(world, f"products/{row.id}", keys, after_last(row.images)):
        row.images.append({**image, "thumbnail": not row.images})
