"""Requests whose body is JSON."""

from typing import Any, TypeVar

from litestar import Request
from litestar.exceptions import HTTPException

Auth = TypeVar("Auth")


class JsonRequest(Request[Any, Auth, Any]):
    """Refuses a body that says it is something else than JSON. The framework would read a form as JSON."""

    async def json(self) -> Any:
        check_media_type(self.headers.get("content-type", ""))
        return await super().json()


def check_media_type(given: str) -> None:
    """Raise 415 for a type other than JSON. No type is taken for JSON (RFC 9110 §8.3 leaves it to the
    recipient): many small clients send none.
    """
    essence = given.partition(";")[0].strip().lower()
    is_json = essence == "application/json" or (
        essence.startswith("application/") and essence.endswith("+json")
    )
    if essence and not is_json:
        raise HTTPException(
            "The body must be JSON: send Content-Type: application/json.",
            status_code=415,
            headers={"Accept": "application/json"},
        )
