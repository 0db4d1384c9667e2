# Two images from one file. Neither needs anything from the network once it is built but the exchange.
#   docker build --target daemon --tag hourhand .                the bot (the default)
#   docker build --target training --tag hourhand-training .     the bot, and what retraining needs
ARG PYTHON_IMAGE=python:3.11-slim-bookworm

FROM ${PYTHON_IMAGE} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
RUN python -m venv /opt/hourhand
ENV PATH=/opt/hourhand/bin:$PATH
WORKDIR /src
COPY pyproject.toml requirements-daemon.lock README.md LICENSE ./
RUN pip install --require-hashes --no-deps --requirement requirements-daemon.lock
COPY bot bot
COPY training training
RUN pip install --no-deps --no-build-isolation .

FROM build AS build-training
# PyTorch's own index: builds without CUDA, which are gigabytes smaller.
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
COPY requirements-training.lock requirements-torch.txt ./
RUN pip install --require-hashes --no-deps --requirement requirements-training.lock \
    && pip install --extra-index-url "${TORCH_INDEX}" --requirement requirements-torch.txt

FROM ${PYTHON_IMAGE} AS base
RUN useradd --uid 10001 --user-group --no-create-home --home-dir /data hourhand
ENV PATH=/opt/hourhand/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    HOURHAND_LEDGER__URL=sqlite:////data/ledger.sqlite \
    HOURHAND_POLICY__MODEL=/data/models/current \
    HOURHAND_REFRESH__FOLDER=/data/refresh
# The settings that are found without --config: /app/config/bot.toml.
WORKDIR /app
COPY config config
# A named volume that is new begins with what the image has there: the shipped model, and the right owner.
COPY --chown=10001:10001 bot/model/shipped /data/models
RUN chown 10001:10001 /data
USER 10001:10001
VOLUME /data

FROM base AS training
COPY --from=build-training /opt/hourhand /opt/hourhand
ENV MPLCONFIGDIR=/tmp
HEALTHCHECK NONE
CMD ["hourhand-train", "refresh"]

FROM base AS daemon
COPY --from=build /opt/hourhand /opt/hourhand
# Healthy is whoever decided a bar lately, not whoever lives.
HEALTHCHECK --interval=60s --timeout=10s --start-period=120s --retries=3 CMD ["hourhand", "health"]
STOPSIGNAL SIGTERM
CMD ["hourhand", "run"]
