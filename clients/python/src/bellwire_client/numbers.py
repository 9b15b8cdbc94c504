"""Numbers in metadata as their producer wrote them, of any length."""

from decimal import Decimal


def whole(digits: str) -> int | Decimal:
    """Parse an integer; return a Decimal with the same digits if there are more than Python's int accepts
    (https://docs.python.org/3/library/stdtypes.html#int-max-str-digits).
    """
    try:
        return int(digits)
    except ValueError:
        return Decimal(digits)
