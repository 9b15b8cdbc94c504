# One image for every process: the command selects it (api, consumer, migrate, keys, …).

FROM python:3.13-slim AS builder

ENV PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_NO_CACHE_DIR=1 \
    PIP_ROOT_USER_ACTION=ignore

RUN python -m venv /opt/venv
ENV PATH=/opt/venv/bin:$PATH

WORKDIR /build

# Optional parts, such as otel for traces: docker build --build-arg EXTRAS=otel .
ARG EXTRAS=
# Install the libraries first and separately, so that a change of our own sources does not install them again.
COPY pyproject.toml README.md constraints.txt ./
RUN python -c 'import sys, tomllib; project = tomllib.load(open("pyproject.toml", "rb"))["project"]; \
        extras = [one for name in sys.argv[1:] for one in project["optional-dependencies"][name]]; \
        print(*project["dependencies"], *extras, sep="\n")' $EXTRAS > /tmp/runtime.txt \
    && pip install -c constraints.txt -r /tmp/runtime.txt

# Then install Bellwire as a wheel, which contains the migrations and the Python client but not the workbench.
COPY LICENSE ./
COPY alembic alembic
COPY clients/python/src clients/python/src
COPY src src
RUN pip install --no-deps . \
    && pip uninstall --yes pip


FROM python:3.13-slim

RUN groupadd --system --gid 10001 bellwire \
    && useradd --system --uid 10001 --gid bellwire --no-create-home --shell /usr/sbin/nologin bellwire

ENV PATH=/opt/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    BELLWIRE_HOST=0.0.0.0 \
    BELLWIRE_PORT=8000

COPY --from=builder /opt/venv /opt/venv

USER 10001:10001
EXPOSE 8000
STOPSIGNAL SIGTERM

# For the API; for a consumer override it by `bellwire health --consumer`.
HEALTHCHECK --interval=15s --timeout=5s --start-period=30s --retries=3 \
    CMD ["bellwire", "health"]

ENTRYPOINT ["bellwire"]
CMD ["api"]
