"""Users' tokens as a host application may mint them."""

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

from tests.build import NOW

RSA = rsa.generate_private_key(65537, 2048)
RSA_SMALL = rsa.generate_private_key(65537, 1024)
EC, EC_LARGE = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP384R1())
ED = ed25519.Ed25519PrivateKey.generate()
OTHER_RSA = rsa.generate_private_key(65537, 2048)
PEM = RSA.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
SECRET = "0123456789abcdef0123456789abcdef"
GOOD: dict[str, Any] = {
    "sub": "ada",
    "aud": "bellwire",
    "iat": int(NOW.timestamp()),
    "exp": int(NOW.timestamp()) + 60,
}


def signed(
    payload: dict[str, Any] | None = None, *, key: str = SECRET, algorithm: str = "HS256", **changes: Any
) -> str:
    """A token as the host application may mint one."""
    fields = (GOOD if payload is None else payload) | changes
    return jwt.encode({name: value for name, value in fields.items() if value is not ...}, key, algorithm)


def part(value: object) -> str:
    """A header or a payload, encoded."""
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


def jwk(key: Any, kid: str | None = None, **fields: Any) -> dict[str, Any]:
    """A key as it stands in a set."""
    kinds = {rsa.RSAPrivateKey: RSAAlgorithm, ec.EllipticCurvePrivateKey: ECAlgorithm}
    algorithm: Any = next((kinds[kind] for kind in kinds if isinstance(key, kind)), OKPAlgorithm)
    made = algorithm.to_jwk(key.public_key(), as_dict=True) | ({} if kid is None else {"kid": kid}) | fields
    return {name: value for name, value in made.items() if name != "key_ops" or name in fields}


def key_set(*keys: Mapping[str, Any]) -> bytes:
    return json.dumps({"keys": keys}).encode()


SET = key_set(jwk(RSA, "rsa"), jwk(EC, "ec"), jwk(ED, "ed"))


def by_key(key: Any, algorithm: str, kid: str | None, header: Mapping[str, Any] = {}, **claims: Any) -> str:
    headers = dict(header) | ({} if kid is None else {"kid": kid})
    fields = {name: value for name, value in (GOOD | claims).items() if value is not ...}
    return jwt.encode(fields, key, algorithm, headers=headers)


def hmac_of(key: bytes, header: Mapping[str, Any], payload: Mapping[str, Any] = GOOD) -> str:
    """A token that PyJWT refuses to make."""
    text = f"{part(dict(header))}.{part(dict(payload))}"
    signature = hmac.new(key, text.encode(), hashlib.sha256).digest()
    return f"{text}.{jwt.utils.base64url_encode(signature).decode()}"


SET = key_set(jwk(RSA, "rsa"), jwk(EC, "ec"), jwk(ED, "ed"))
