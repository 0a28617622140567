# The image serves on port 8080 of all its addresses, which the server refuses without authentication: give it users,
#   docker run -p 8080:8080 -v tidemill:/data -v ./my.toml:/etc/tidemill.toml:ro tidemill serve --config /etc/tidemill.toml
# where my.toml has [auth] with mode = "static" (see config/single.toml), or try it on the host's own loopback:
#   docker run --network host tidemill serve --demo --http 127.0.0.1:8080
# A cluster is the same image as `serve --cluster` and as `worker --coordinator HOST:50050`; both need the same join token:
#   docker run -e TIDEMILL__CLUSTER__JOIN_TOKEN -v work:/data tidemill worker --coordinator coordinator:50050

FROM rust:1.95-slim-bookworm AS build
RUN apt-get update && apt-get install --yes --no-install-recommends protobuf-compiler libprotobuf-dev && rm -rf /var/lib/apt/lists/*
WORKDIR /source
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry --mount=type=cache,target=/source/target \
    cargo build --profile dist --locked -p tidemill-server && cp target/dist/tidemill /tidemill

FROM debian:bookworm-slim
RUN apt-get update && apt-get install --yes --no-install-recommends ca-certificates && rm -rf /var/lib/apt/lists/* \
    && useradd --uid 10001 --no-create-home --shell /usr/sbin/nologin tidemill \
    && install --directory --owner=tidemill /data
COPY --from=build /tidemill /usr/local/bin/tidemill
USER 10001
VOLUME /data
# Clients, workers, and the other workers of a worker.
EXPOSE 8080 50050 50051
ENV TIDEMILL__SERVER__DATA_DIR=/data TIDEMILL__HTTP__LISTEN=0.0.0.0:8080
# A server answers plain HTTP without credentials; one with TLS wants a check of its own (`--health-cmd`). A worker listens.
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s CMD ["bash", "-c", \
    "if tr '\\0' ' ' </proc/1/cmdline | grep -q ' worker '; then exec 3<>/dev/tcp/127.0.0.1/50051; else exec 3<>/dev/tcp/127.0.0.1/8080 && printf 'GET /livez HTTP/1.1\\r\\nHost: localhost\\r\\nConnection: close\\r\\n\\r\\n' >&3 && head -n 1 <&3 | grep -q ' 200 '; fi"]
ENTRYPOINT ["tidemill"]
CMD ["serve"]
