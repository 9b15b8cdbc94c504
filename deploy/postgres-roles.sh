#!/bin/sh
# Runs once, when the database's volume is new. Two roles: bellwire_owner runs the migrations and owns the tables;
# bellwire, the service's own, reads and writes rows, and can neither change a table nor rewrite the audit trail.
set -eu

psql --username="$POSTGRES_USER" --dbname=postgres --set=ON_ERROR_STOP=1 \
    --set=owner_password="$OWNER_PASSWORD" --set=service_password="$SERVICE_PASSWORD" <<'SQL'
CREATE ROLE bellwire_owner LOGIN PASSWORD :'owner_password';
CREATE ROLE bellwire LOGIN PASSWORD :'service_password';
CREATE DATABASE bellwire OWNER bellwire_owner;
REVOKE ALL ON DATABASE bellwire FROM PUBLIC;
GRANT CONNECT ON DATABASE bellwire TO bellwire;
SQL
