"""Numbers in metadata, as its producer wrote them: of any length."""

from decimal import Decimal


def whole(digits: str) -> int | Decimal:
    """An integer; a Decimal with the same digits if it has more of them than Python makes an int of
    (https://docs.python.org/3/library/stdtypes.html#int-max-str-digits).
    """
    try:
        return int(digits)
    except ValueError:
        return Decimal(digits)
