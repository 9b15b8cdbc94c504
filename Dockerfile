# One image for every process: the command after it says which (api, consumer, migrate, create-key, …).

FROM python:3.13-slim AS builder

ENV PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_NO_CACHE_DIR=1 \
    PIP_ROOT_USER_ACTION=ignore

RUN python -m venv /opt/venv
ENV PATH=/opt/venv/bin:$PATH

# The same path as in the final image: the install below points at it.
WORKDIR /app

# The libraries first, and alone, so that a change of our own sources does not install them again.
COPY pyproject.toml README.md constraints.txt ./
RUN python -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["project"]["dependencies"], sep="\n")' \
        > /tmp/runtime.txt \
    && pip install -c constraints.txt -r /tmp/runtime.txt

# As in a checkout: src/ stays where it is, beside alembic/, and what is installed is the version and the
# `bellwire` command.
COPY LICENSE ./
COPY src src
RUN pip install --no-deps -e . \
    && pip uninstall --yes pip \
    && python -m compileall -q src


FROM python:3.13-slim

RUN groupadd --system --gid 10001 bellwire \
    && useradd --system --uid 10001 --gid bellwire --no-create-home --shell /usr/sbin/nologin bellwire

ENV PATH=/opt/venv/bin:$PATH \
    PYTHONPATH=/app/src \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    BELLWIRE_HOST=0.0.0.0 \
    BELLWIRE_PORT=8000

WORKDIR /app
COPY --from=builder /opt/venv /opt/venv
COPY pyproject.toml alembic.ini LICENSE ./
COPY alembic alembic
COPY --from=builder /app/src src

USER 10001:10001
EXPOSE 8000
STOPSIGNAL SIGTERM

# For the API. The consumer answers at BELLWIRE_CONSUMER_PORT: override it there.
HEALTHCHECK --interval=15s --timeout=5s --start-period=30s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request as r; r.urlopen(f\"http://127.0.0.1:{os.environ['BELLWIRE_PORT']}/health/live\", timeout=4)"]

ENTRYPOINT ["python", "-m", "bellwire"]
CMD ["api"]
