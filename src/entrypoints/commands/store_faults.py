"""What to do about a PostgreSQL that cannot be used, by the reason that is given."""

import re

_URL = "BELLWIRE_POSTGRES_URL"
# The first that is found in the reason counts.
_FIXES = (
    (r"not valid for|[Hh]ostname mismatch", f"name a host in {_URL} that the certificate names"),
    (r"certificate has expired", "renew the server's certificate"),
    (r"certificate revoked", "replace the server's certificate, which its authority has revoked"),
    (
        r"certificate is not accepted|root certificate file",
        f"name its authority in {_URL} with sslrootcert=…, or sslrootcert=system if it is a public one",
    ),
    (
        r"sslrootcert=|sslcrl=|sslcert=",
        "correct this file: PEM, and readable for the account of this process",
    ),
    (
        r"valid client certificate|unknown ca|certificate required|certificate authentication failed",
        f"add sslcert=… and sslkey=… to {_URL}, of an authority that the server trusts, for this user",
    ),
    (r"rejected SSL upgrade", f"switch TLS on in the server, or write sslmode=disable in {_URL}"),
    (r"no encryption", f"write sslmode=require, or better verify-full, in {_URL}"),
    (r"no pg_hba\.conf entry", "let this user and address in with a line of pg_hba.conf"),
    (r"\(28P01\)", f"correct the password in {_URL}, or the role's"),
    (r"\(28000\)", f"create the role that {_URL} names, or let it in with a line of pg_hba.conf"),
    (r"\(3D000\)", f"create the database that {_URL} names"),
    (r"\(3F000\)", f"create the schema that search_path names in {_URL}"),
    (r"unsupported startup parameter", "set BELLWIRE_POSTGRES_POOLER to the pool mode of PgBouncer"),
    (r"prepared statement", "set BELLWIRE_POSTGRES_POOLER=transaction"),
    (r"target_session_attrs|it is a standby", f"promote a standby, or name the primary in {_URL}"),
    (r"default_transaction_read_only", "switch default_transaction_read_only off"),
    (r"[Nn]ame or service not known|name is not known|No address", f"correct the host in {_URL}"),
)


def fix_of(reason: str) -> str:
    """What to do about this reason."""
    found = (fix for pattern, fix in _FIXES if re.search(pattern, reason))
    return next(found, f"start it, or correct {_URL}")
