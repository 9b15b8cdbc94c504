"""Tells secrets that someone could guess from random ones."""

import math
from collections import Counter

_LEAST_BYTES = 32
_LEAST_BITS = 80
_LEAST_DISTINCT = 8
# In lower case, without anything but letters and digits. None occurs in a random secret by chance.
_PLACEHOLDERS = (
    "changeme",
    "changethis",
    "replaceme",
    "replacethis",
    "placeholder",
    "yoursecret",
    "yoursupersecret",
    "yourtokensecret",
    "yourjwtsecret",
    "your256bitsecret",
    "mysecret",
    "supersecret",
    "topsecret",
    "secretkey",
    "secretsecret",
    "stringsecret",
    "tokensecret",
    "insecure",
    "password",
    "donotuse",
    "examplesecret",
    "openssl",
    "qwerty",
    "0123456789",
    "1234567890",
    "abcdefghij",
)
_MAKE_ONE = "openssl rand -hex 32 makes one"


def check_secret(secret: str) -> None:
    """Raise ValueError if the secret is too short, or looks as if it had not been generated. The message
    never quotes it.
    """
    if len(secret.encode()) < _LEAST_BYTES:
        raise ValueError(f"must have at least {_LEAST_BYTES} bytes (openssl rand -hex 32)")
    if secret != secret.strip():
        raise ValueError("begins or ends with a space or another character that cannot be seen")
    plain = "".join(filter(str.isalnum, secret)).lower()
    if any(word in plain for word in _PLACEHOLDERS):
        raise ValueError(f"is a placeholder, not a secret; {_MAKE_ONE}")
    if _repeats(secret) or len(set(secret)) < _LEAST_DISTINCT or _bits(secret) < _LEAST_BITS:
        raise ValueError(
            f"can be guessed: it repeats itself or has too few different characters; {_MAKE_ONE}"
        )


def _repeats(text: str) -> bool:
    """Whether the text is a shorter one over and over."""
    return any(text[length:] == text[:-length] for length in range(1, len(text) // 2 + 1))


def _bits(text: str) -> float:
    """The entropy if each character were drawn from those of the text, as often as they occur."""
    return -sum(n * math.log2(n / len(text)) for n in Counter(text).values())
