# Two images from one file. Once built, neither needs anything from the network but the exchange.
#   docker build --target daemon --tag hourhand .                the bot (the default)
#   docker build --target training --tag hourhand-training .     the bot, and what retraining needs
ARG PYTHON_IMAGE=python:3.11-slim-bookworm

# The locked dependencies, each checked against its hash: rebuilt only when a lock file changes.
FROM ${PYTHON_IMAGE} AS dependencies
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
RUN python -m venv /opt/hourhand
ENV PATH=/opt/hourhand/bin:$PATH
WORKDIR /src
COPY requirements-daemon.lock ./
RUN pip install --require-hashes --no-deps --requirement requirements-daemon.lock

FROM dependencies AS dependencies-training
# PyTorch's own index: builds without CUDA, which are gigabytes smaller.
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
COPY requirements-training.lock requirements-torch.txt ./
RUN pip install --require-hashes --no-deps --requirement requirements-training.lock \
    && pip install --extra-index-url "${TORCH_INDEX}" --requirement requirements-torch.txt

# The source, in a layer of its own on top of them.
FROM dependencies AS build
COPY pyproject.toml README.md LICENSE ./
COPY config config
COPY bot bot
COPY training training
RUN pip install --no-deps --no-build-isolation .

FROM dependencies-training AS build-training
COPY pyproject.toml README.md LICENSE ./
COPY config config
COPY bot bot
COPY training training
RUN pip install --no-deps --no-build-isolation .

FROM ${PYTHON_IMAGE} AS base
RUN useradd --uid 10001 --user-group --no-create-home --home-dir /data hourhand
# /data is the only writable place: the ledger, the registry, and the output of `report --out` and `export --out`.
ENV PATH=/opt/hourhand/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    HOURHAND_CONFIG=/app/config/bot.toml \
    HOURHAND_LEDGER__URL=sqlite:////data/ledger.sqlite \
    HOURHAND_POLICY__MODEL=/data/models/current \
    HOURHAND_REFRESH__FOLDER=/data/refresh
COPY config /app/config
# A new named volume starts out with the image's content of /data: the shipped models, with the right owner.
COPY --chown=10001:10001 bot/model/shipped /data/models
RUN chown 10001:10001 /data
WORKDIR /data
USER 10001:10001
VOLUME /data

FROM base AS training
COPY --from=build-training /opt/hourhand /opt/hourhand
ENV MPLCONFIGDIR=/tmp
HEALTHCHECK NONE
CMD ["hourhand-train", "refresh"]

FROM base AS daemon
COPY --from=build /opt/hourhand /opt/hourhand
ENV HOURHAND_HEALTH__PORT=9464
# A daemon that decided its newest bar in time is healthy. Its own server reports that; a shell requests it.
HEALTHCHECK --interval=60s --timeout=10s --start-period=120s --retries=3 CMD ["bash", "-c", \
    "exec 3<>/dev/tcp/127.0.0.1/$HOURHAND_HEALTH__PORT && printf 'GET /healthz HTTP/1.0\\r\\n\\r\\n' >&3 && read -r _ code _ <&3 && [ \"$code\" = 200 ]"]
STOPSIGNAL SIGTERM
CMD ["hourhand", "run"]
