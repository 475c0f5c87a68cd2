# The image runs as a numeric user, and no shell is between the runtime and
# Streamer. Streamer writes only to /var/lib/streamer (the embedded log) and /tmp.
# If you mount volumes there, the root file system can be read-only.
#
# The build checks the packages by the hashes in requirements.txt (`make
# requirements`), and the base image by its digest, if you name the digest:
# --build-arg PYTHON_IMAGE=python:3.13-slim@sha256:…
ARG PYTHON_IMAGE=python:3.13-slim

FROM ${PYTHON_IMAGE} AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /src
# The packages come first, because they change less often than the code. So after a change of the code, a build does not
# install them again.
COPY requirements.txt requirements-build.txt ./
RUN python -m venv /opt/streamer \
 && /opt/streamer/bin/pip install --quiet --require-hashes --only-binary :all: --requirement requirements.txt \
 && python -m venv /opt/build \
 && /opt/build/bin/pip install --quiet --require-hashes --only-binary :all: --requirement requirements-build.txt
COPY pyproject.toml README.md LICENSE ./
COPY streamer streamer
COPY subscribers subscribers
COPY packaging packaging
RUN /opt/build/bin/pip wheel --quiet --no-deps --no-build-isolation --wheel-dir /src/dist . \
 && /opt/streamer/bin/pip install --quiet --no-deps /src/dist/streamer_salesforce-*.whl \
 && /opt/streamer/bin/pip check

FROM ${PYTHON_IMAGE}
LABEL org.opencontainers.image.title="Streamer" \
      org.opencontainers.image.description="Carries a Salesforce org's events to Kafka and to the systems that act on them" \
      org.opencontainers.image.licenses="Apache-2.0"
ENV PATH="/opt/streamer/bin:${PATH}" PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
RUN install --directory --owner=10001 --group=10001 --mode=0750 /var/lib/streamer
COPY --from=build /opt/streamer /opt/streamer
# The default log is data/streamer.db, relative to here.
WORKDIR /var/lib/streamer
USER 10001:10001
EXPOSE 9464
STOPSIGNAL SIGTERM
# observe.host and observe.port can differ from the defaults, so the daemon writes the address of its probes into this
# file.
ENV STREAMER_CONTAINER=1 STREAMER_ADDRESS_FILE=/tmp/streamer.address
HEALTHCHECK --interval=10s --timeout=5s --start-period=300s --retries=3 \
  CMD ["python", "-c", "import os, urllib.request as http; http.urlopen(open(os.environ['STREAMER_ADDRESS_FILE']).read() + '/healthz', timeout=4)"]
ENTRYPOINT ["streamer"]
CMD ["run", "-c", "/etc/streamer/streamer.yaml"]
