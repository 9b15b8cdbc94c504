"""Bodies of which a part stays as its sender wrote it (msgspec.Raw)."""

from typing import Any

import msgspec
from litestar import Request
from litestar.exceptions import SerializationException
from litestar.openapi.spec import OpenAPIType, Schema
from litestar.plugins import OpenAPISchemaPlugin
from litestar.typing import FieldDefinition

from application.credentials import ApiKey
from domain.errors import Invalid
from entrypoints.web import problems


class VerbatimRequest(Request[Any, ApiKey, Any]):
    """Decodes a body to what its handler takes. Litestar's own goes through Python objects, which are no
    longer what was sent.
    """

    async def json(self) -> Any:
        data = self.route_handler.parsed_data_field
        body = (await self.body()).decode()  # msgspec takes the encoding of what stays as it is for right
        try:
            return _decode(body, data.annotation if data else Any)
        except msgspec.ValidationError as error:
            _decode(body, msgspec.Raw)  # what is no JSON further on is no JSON
            raise Invalid([problems.misfit(str(error))]) from error


def _decode(body: str, target: Any) -> Any:
    """Raise msgspec.ValidationError, or SerializationException for what is no JSON."""
    try:
        return msgspec.json.decode(body, type=target)
    except msgspec.ValidationError:
        raise
    except msgspec.DecodeError as error:
        raise SerializationException(str(error)) from error


class VerbatimSchema(OpenAPISchemaPlugin):
    """Describes such a part: here it is always an object."""

    @staticmethod
    def is_plugin_supported_type(value: Any) -> bool:
        return value is msgspec.Raw

    def to_openapi_schema(self, field_definition: FieldDefinition, schema_creator: Any) -> Schema:
        return Schema(type=OpenAPIType.OBJECT, additional_properties=Schema())
