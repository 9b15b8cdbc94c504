"""What `bellwire doctor` says to do about a PostgreSQL that cannot be used."""

import pytest

from entrypoints.commands.store_faults import fix_of

_OUT = "PostgreSQL is out of reach: "
REASONS = {
    "its certificate is not accepted: self-signed certificate in certificate chain": "sslrootcert=",
    "its certificate is not accepted: unable to get local issuer certificate": "sslrootcert=system",
    "its certificate is not accepted: IP address mismatch, certificate is not valid for '::1'.": "a host",
    "its certificate is not accepted: Hostname mismatch, certificate is not valid for 'db'.": "a host",
    "its certificate is not accepted: certificate has expired": "renew",
    "its certificate is not accepted: certificate revoked": "replace the server's certificate",
    'root certificate file "/root/.postgresql/root.crt" does not exist or cannot be accessed': "sslrootcert=",
    "sslrootcert=/ca has no certificate: [X509: NO_CERTIFICATE_OR_CRL_FOUND]": "correct this file",
    "sslcert=/c is not a certificate, or its key is another one or needs sslpassword: x": "correct this file",
    "connection requires a valid client certificate (28000)": "sslcert=",
    "[SSL: TLSV1_ALERT_UNKNOWN_CA] tlsv1 alert unknown ca (_ssl.c:2580)": "sslcert=",
    'certificate authentication failed for user "cert" (28000)': "sslcert=",
    'PostgreSQL server at "h:5432" rejected SSL upgrade': "switch TLS on",
    'no pg_hba.conf entry for host "::1", user "u", database "d", no encryption (28000)': "sslmode=require",
    'no pg_hba.conf entry for host "::1", user "u", database "d", SSL encryption (28000)': "pg_hba.conf",
    'password authentication failed for user "u" (28P01)': "password",
    'role "u" does not exist (28000)': "create the role",
    'database "d" does not exist (3D000)': "create the database",
    "unsupported startup parameter: statement_timeout (08P01)": "BELLWIRE_POSTGRES_POOLER",
    'prepared statement "__asyncpg_stmt_1__" does not exist (26000)': "BELLWIRE_POSTGRES_POOLER=transaction",
    "a:1: it is not what target_session_attrs asks for; b:2: Connection refused": "promote a standby",
    "it is a standby": "promote a standby",
    "default_transaction_read_only is on": "switch default_transaction_read_only off",
    "Name or service not known": "correct the host",
    "Connection refused": "start it",
    "no answer in time": "start it",
}


@pytest.mark.parametrize(("reason", "fix"), REASONS.items())
def test_a_reason_has_its_fix(reason: str, fix: str) -> None:
    assert fix in fix_of(_OUT + reason)
