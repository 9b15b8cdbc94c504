"""Requests whose body is JSON."""

from typing import Any, TypeVar

from litestar import Request
from litestar.exceptions import HTTPException

from common.exchanges import fields_of

_JSON = b"application/json"

Auth = TypeVar("Auth")


class JsonRequest(Request[Any, Auth, Any]):
    """Refuses a body that says it is something else than JSON. The framework would read a form as JSON."""

    async def json(self) -> Any:
        check_media_type(self.scope)
        return await super().json()


def check_media_type(scope: Any) -> None:
    """Raise 415 for a type other than JSON. No type is taken for JSON (RFC 9110 §8.3 leaves it to the
    recipient): many small clients send none.
    """
    fields, headers = fields_of(scope), scope["headers"]
    if fields.get(b"content-type") == _JSON and len(fields) == len(headers):
        return  # nearly all
    for name, value in headers:
        if name == b"content-type" and value != _JSON and not _is_json(value):
            raise HTTPException(
                "The body must be JSON: send Content-Type: application/json.",
                status_code=415,
                headers={"Accept": "application/json"},
            )


def _is_json(media_type: bytes) -> bool:
    essence = media_type.partition(b";")[0].strip().lower()
    return essence in {b"", _JSON} or (essence.startswith(b"application/") and essence.endswith(b"+json"))
