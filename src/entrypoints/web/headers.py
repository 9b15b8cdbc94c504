"""Headers that several routes share."""

from litestar.datastructures import CacheControlHeader

NO_STORE = CacheControlHeader(no_store=True)
"""For answers with tokens, tickets and other secrets. Errors have it everywhere (problems.py)."""
