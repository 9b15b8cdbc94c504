"""Bodies with a part that stays as its sender wrote it (msgspec.Raw)."""

from functools import cache
from typing import Any

import msgspec
from litestar.exceptions import SerializationException
from litestar.openapi.spec import OpenAPIType, Schema
from litestar.plugins import OpenAPISchemaPlugin
from litestar.typing import FieldDefinition

from application.credentials import ApiKey
from domain.errors import Invalid
from entrypoints.web import problems
from entrypoints.web.json_request import JsonRequest, check_media_type


class VerbatimRequest(JsonRequest[ApiKey]):
    """Decodes a body directly to the type that its handler takes. Litestar's own request goes through Python
    objects, which do not keep what was written.
    """

    async def json(self) -> Any:
        data = self.route_handler.parsed_data_field
        return decoded(await self.body(), data.annotation if data else Any, self.scope)


def decoded(body: bytes, target: Any, scope: Any) -> Any:
    """Decode a body to a type. Raises Invalid if it breaks a rule of the type, SerializationException or
    UnicodeDecodeError if it is not JSON, and 415 if it says that it is something else.
    """
    if not body:
        raise Invalid([problems.NO_BODY])
    check_media_type(scope)
    text = body.decode()  # msgspec does not check the encoding of raw parts
    try:
        return _decode(text, target)
    except msgspec.ValidationError as error:
        _decode(text, msgspec.Raw)  # raises if the rest is not JSON
        raise Invalid([problems.field_error(str(error))]) from error


def _decode(text: str, target: Any) -> Any:
    """Raise msgspec.ValidationError, or SerializationException if the text is not JSON."""
    try:
        return _decoder(target).decode(text)
    except msgspec.ValidationError:
        raise
    except msgspec.DecodeError as error:
        raise SerializationException(str(error)) from error


@cache
def _decoder(target: Any) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(target)


class VerbatimSchema(OpenAPISchemaPlugin):
    """Describes such a part to OpenAPI: here it is always an object."""

    @staticmethod
    def is_plugin_supported_type(value: Any) -> bool:
        return value is msgspec.Raw

    def to_openapi_schema(self, field_definition: FieldDefinition, schema_creator: Any) -> Schema:
        return Schema(type=OpenAPIType.OBJECT, additional_properties=Schema())
