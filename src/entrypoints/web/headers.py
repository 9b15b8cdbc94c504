"""What several routes do with headers."""

from litestar.datastructures import CacheControlHeader

NO_STORE = CacheControlHeader(no_store=True)
"""For answers with tokens, tickets and other secrets. Errors have it everywhere (problems.py)."""


def names_tag(condition: str, etag: str) -> bool:
    """Whether If-None-Match names the tag (RFC 9110 §13.1.2: a list, compared weakly, or `*`)."""
    named = {tag.strip().removeprefix("W/") for tag in condition.split(",")}
    return etag in named or "*" in named
