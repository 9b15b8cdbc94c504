"""The cost of a request that does no work: a Litestar application that accepts JSON and answers 202."""

from litestar import Litestar, get, post
from litestar.params import JSONBody
from msgspec import Struct


class Body(Struct):
    """The fields of a publish."""

    user_id: str
    event: str
    message: str


@post("/notifications", status_code=202)
async def accept(data: JSONBody[Body]) -> dict[str, str]:
    """Answer as publishing does."""
    return {"id": data.user_id, "status": "accepted"}


@get("/ready")
async def ready() -> None:
    """Answer that it runs."""


app = Litestar([accept, ready], openapi_config=None, logging_config=None)
