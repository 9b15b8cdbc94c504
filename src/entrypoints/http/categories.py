"""Categories, which all users share."""

from datetime import timedelta
from typing import Annotated, Any, Literal, Self

from litestar import Request, get, put
from litestar.di import NamedDependency
from litestar.params import JSONBody, PathParameter
from msgspec import Meta, Struct

from application.credentials import ApiKey
from application.errors import NotAllowed
from application.preferences import ListCategories, SetCategory
from domain.category import DESCRIPTION_LENGTH, LONGEST_EXPIRY, TITLE_LENGTH, Category
from entrypoints.web import guards, rules
from entrypoints.web.attribution import by_of
from entrypoints.web.rules import ruled
from entrypoints.web.schemas import problems
from entrypoints.web.verbatim import VerbatimRequest

_BODY_LIMIT = 8 * 1024
_GUARDED: dict[str, Any] = {"guards": [guards.admin], "security": guards.NEEDS_KEY, "tags": ["categories"]}

CategoryId = Annotated[
    str, PathParameter(description="1 to 64 of a-z 0-9 _ . -", schema_extra=rules.CATEGORY)
]
Default = Annotated[Literal["on", "off"], Meta(description="For users who chose nothing.")]


class CategorySettings(Struct, forbid_unknown_fields=True, omit_defaults=True):
    """What a category is to be. A field that is left out gets its default."""

    title: Annotated[
        str | None,
        ruled(
            {"minLength": 1, "maxLength": TITLE_LENGTH},
            f"What users see instead of the id: 1 to {TITLE_LENGTH} printable characters.",
            "Invoices",
        ),
    ] = None
    description: Annotated[
        str | None,
        ruled(
            {"minLength": 1, "maxLength": DESCRIPTION_LENGTH},
            f"For a page of preferences: 1 to {DESCRIPTION_LENGTH} printable characters.",
            "What you owe, and what you paid.",
        ),
    ] = None
    mandatory: Annotated[
        bool, Meta(description="Whether users cannot switch it off. An earlier choice has no effect then.")
    ] = False
    default: Default = "on"
    expires_after: Annotated[
        Annotated[int, Meta(ge=1, le=int(LONGEST_EXPIRY.total_seconds()))] | None,
        Meta(
            description="Seconds after which its notifications expire, unless they name a time themselves.",
            examples=[604_800],
        ),
    ] = None

    def category(self, category_id: str) -> Category:
        """The category. Raises Invalid."""
        return Category(
            id=category_id,
            title=self.title,
            description=self.description,
            mandatory=self.mandatory,
            default_on=self.default == "on",
            expires_after=None if self.expires_after is None else timedelta(seconds=self.expires_after),
        )


class CategoryBody(Struct):
    """A category."""

    id: Annotated[str, Meta(examples=["billing"])]
    title: str | None
    description: str | None
    mandatory: Annotated[bool, Meta(description="Whether users cannot switch it off.")]
    default: Default
    expires_after: Annotated[int | None, Meta(description="Seconds.")]

    @classmethod
    def of(cls, category: Category) -> Self:
        """The body of this category."""
        after = category.expires_after
        return cls(
            category.id,
            category.title,
            category.description,
            category.mandatory,
            "on" if category.default_on else "off",
            None if after is None else int(after.total_seconds()),
        )


class CategoryList(Struct):
    """Every category, by id."""

    items: list[CategoryBody]


@get("/v1/categories", summary="List categories", responses=problems(401, 403, 429, 503), **_GUARDED)
async def list_categories(
    request: Request[Any, ApiKey, Any], list_categories: NamedDependency[ListCategories]
) -> CategoryList:
    """Those that notifications have had, and those that were set: at most 64, and `other`. Needs an API key
    without prefixes, as all users share them.
    """
    _check_unlimited(request.auth)
    return CategoryList([CategoryBody.of(category) for category in await list_categories()])


@put(
    "/v1/categories/{category_id:str}",
    request_class=VerbatimRequest,
    request_max_body_size=_BODY_LIMIT,
    summary="Set a category",
    responses=problems(400, 401, 403, 409, 413, 422, 429, 503),
    **_GUARDED,
)
async def set_category(
    request: VerbatimRequest,
    category_id: CategoryId,
    data: JSONBody[CategorySettings],
    set_category: NamedDependency[SetCategory],
) -> CategoryBody:
    """Title, default and the rest of a category, which need not have been seen. Users' choices stay. Needs an
    API key without prefixes.
    """
    _check_unlimited(request.auth)
    category = data.category(category_id)
    await set_category(category, by_of(request))
    return CategoryBody.of(category)


def _check_unlimited(key: ApiKey) -> None:
    if key.limited:
        raise NotAllowed("An API key that is limited to a prefix cannot see or set what all users share.")


HANDLERS = [list_categories, set_category]
