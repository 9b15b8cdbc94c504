#!/bin/sh
# Prints the passwords and secrets that docker-compose.yml needs, each of 192 random bits or more:
#
#   sh deploy/make-env.sh > .env
set -eu

echo "# Made by deploy/make-env.sh, for docker compose alone."
echo "BELLWIRE_TOKEN_SECRET=$(openssl rand -hex 32)"
echo "BELLWIRE_OPERATOR_SECRET=$(openssl rand -hex 32)"
echo "BELLWIRE_ERASURE_SECRET=$(openssl rand -hex 32)"
echo "BELLWIRE_METRICS_TOKEN=$(openssl rand -hex 24)"
for name in POSTGRES OWNER SERVICE REDIS KAFKA; do
    echo "${name}_PASSWORD=$(openssl rand -hex 24)"
done
