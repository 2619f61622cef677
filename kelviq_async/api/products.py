"""Products: what you sell, each with its plans."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from ..model import UNSET, Model, OpenEnum, Unset, field, model
from ..request import Namespace, Page, Request, call, delete, get, pages, patch, post
from .messages import Message


class TaxCode(OpenEnum):
    """What kind of thing a product is, for taxes."""

    SAAS = "saas"
    SAAS_BUSINESS = "saas_business"
    SOFTWARE = "software"
    VIDEOCONTENT = "videocontent"
    INFORMATIONSERVICE = "informationservice"
    EBOOK = "ebook"
    DIGITALGRAPHIC = "digitalgraphic"
    VIDEOGAME = "videogame"
    ESERVICE = "eservice"
    TRAINING = "training"


@model
class ProductImage(Model):
    """A picture of a product.

    Attributes:
        id: Kelviq's id of the picture.
        name: File name to show.
        image: Storage key or address of the picture.
        ordering: Position among the product's pictures, from 0.
        thumbnail: Whether it stands for the product in lists.
        enabled: Whether it is shown.
    """

    id: str
    name: str | None = None
    image: str
    ordering: int
    thumbnail: bool
    enabled: bool


@model
class Product(Model):
    """Something you sell.

    Attributes:
        id: Kelviq's id.
        identifier: Your own short name for it.
        name: Name to show.
        description: What it is.
        tax_code: What kind of thing it is, for taxes.
        created_by: Who made it.
        modified_on: When it last changed.
        images: Its pictures.
    """

    id: str
    identifier: str
    name: str
    description: str
    tax_code: TaxCode
    created_by: str
    modified_on: datetime
    images: list[ProductImage]


@model
class ProductWithPlans(Product):
    """A product together with the identifiers of its plans.

    Attributes:
        plans: Identifiers of the product's plans.
    """

    plans: list[str]


@model
class ProductSettings(Model):
    """How a product is offered.

    Attributes:
        vpn: Whether buyers behind a VPN are treated as such.
        tor: The same for Tor.
        proxy: The same for proxies.
        currency: Three-letter code of the base currency.
        product_url: Where the product lives.
    """

    vpn: bool
    tor: bool
    proxy: bool
    currency: str
    product_url: str | None = None


@get("/catalog/products/")
class ListProducts(Request[Page[Product]]):
    """One page of your products. Kelviq API: GET /catalog/products/.

    Args:
        search: Part of a name or identifier.
        page: Which page, from 1.
        page_size: Rows on a page, at most 100, which is also Kelviq's default here.
    """

    search: str | None = field(default=None, kw_only=True)
    page: int | None = field(default=None, kw_only=True)
    page_size: int | None = field(default=None, kw_only=True)


@post("/catalog/products/")
class CreateProduct(Request[Product]):
    """Create a product. Kelviq API: POST /catalog/products/.

    Args:
        name: Name to show.
        tax_code: What kind of thing it is, for taxes.
        identifier: Your own short name for it; made of the name where none is given.
        description: What it is.
        image_keys: Keys of uploaded pictures, see ``media``.

    Raises:
        BadRequest: ``fields`` says which part was not accepted.
    """

    name: str
    tax_code: TaxCode
    identifier: str | Unset = field(default=UNSET, kw_only=True)
    description: str | Unset = field(default=UNSET, kw_only=True)
    image_keys: Sequence[str] | Unset = field(default=UNSET, kw_only=True)


@get("/catalog/products/{product_id}/")
class RetrieveProduct(Request[ProductWithPlans]):
    """Read one product with its plans. Kelviq API: GET /catalog/products/{pk}/.

    Args:
        product_id: Kelviq's id of the product.

    Raises:
        NotFound: There is no such product.
    """

    product_id: str


@patch("/catalog/products/{product_id}/")
class UpdateProduct(Request[Product]):
    """Change a product; what is left out stays. Kelviq API: PATCH /catalog/products/{pk}/.

    Args:
        product_id: Kelviq's id of the product.
        name: New name.
        description: New description.
        tax_code: New kind for taxes.
        image_keys: Keys of uploaded pictures to add.
        file_keys: Keys of uploaded files to add.

    Raises:
        NotFound: There is no such product.
    """

    product_id: str
    name: str | Unset = field(default=UNSET, kw_only=True)
    description: str | Unset = field(default=UNSET, kw_only=True)
    tax_code: TaxCode | Unset = field(default=UNSET, kw_only=True)
    image_keys: Sequence[str] | Unset = field(default=UNSET, kw_only=True)
    file_keys: Sequence[str] | Unset = field(default=UNSET, kw_only=True)


@delete("/catalog/products/{product_id}/", repeatable=True)
class ArchiveProduct(Request[Message]):
    """Archive a product. Kelviq API: DELETE /catalog/products/{pk}/.

    Args:
        product_id: Kelviq's id of the product.

    Raises:
        BadRequest: It cannot be archived as it is, for example because of its plans.
    """

    product_id: str


@get("/catalog/products/{product_id}/settings/")
class RetrieveProductSettings(Request[ProductSettings]):
    """How a product is offered. Kelviq API: GET /catalog/products/{pk}/settings/.

    Args:
        product_id: Kelviq's id of the product.
    """

    product_id: str


@patch("/catalog/products/{product_id}/settings/")
class UpdateProductSettings(Request[ProductSettings]):
    """Change how a product is offered. Kelviq API: PATCH /catalog/products/{pk}/settings/.

    Args:
        product_id: Kelviq's id of the product.
        vpn: Whether buyers behind a VPN are treated as such.
        tor: The same for Tor.
        proxy: The same for proxies.
        currency: Three-letter code of the base currency.
        product_url: Where the product lives.
    """

    product_id: str
    vpn: bool | Unset = field(default=UNSET, kw_only=True)
    tor: bool | Unset = field(default=UNSET, kw_only=True)
    proxy: bool | Unset = field(default=UNSET, kw_only=True)
    currency: str | Unset = field(default=UNSET, kw_only=True)
    product_url: str | Unset = field(default=UNSET, kw_only=True)


@patch("/catalog/products/{product_id}/image/{image_id}/")
class UpdateProductImage(Request[ProductImage]):
    """Change a product's picture. Kelviq API: PATCH /catalog/products/{product_pk}/image/{pk}/.

    Args:
        product_id: Kelviq's id of the product.
        image_id: Kelviq's id of the picture.
        name: New file name.
        ordering: New position, from 0.
        thumbnail: Whether it stands for the product in lists.
        enabled: Whether it is shown.
    """

    product_id: str
    image_id: str
    name: str | Unset = field(default=UNSET, kw_only=True)
    ordering: int | Unset = field(default=UNSET, kw_only=True)
    thumbnail: bool | Unset = field(default=UNSET, kw_only=True)
    enabled: bool | Unset = field(default=UNSET, kw_only=True)


@delete("/catalog/products/{product_id}/image/{image_id}/")
class DeleteProductImage(Request[None]):
    """Remove a product's picture. Kelviq API: DELETE /catalog/products/{product_pk}/image/{pk}/.

    Args:
        product_id: Kelviq's id of the product.
        image_id: Kelviq's id of the picture.

    Raises:
        NotFound: There is no such picture.
    """

    product_id: str
    image_id: str


class Products(Namespace):
    """What you sell."""

    list = call(ListProducts)
    each = pages(ListProducts)
    create = call(CreateProduct)
    retrieve = call(RetrieveProduct)
    update = call(UpdateProduct)
    archive = call(ArchiveProduct)
    settings = call(RetrieveProductSettings)
    update_settings = call(UpdateProductSettings)
    update_image = call(UpdateProductImage)
    delete_image = call(DeleteProductImage)
