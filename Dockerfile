# On a CPU:
#   docker build -t drac_jax .
#   mkdir -p runs
#   docker run --rm --user "$(id -u)" -v "$PWD/runs:/runs/runs" drac_jax run multigoal_amortized
# On a GPU, whose driver (580 or newer) the container toolkit brings; CUDA itself comes with JAX:
#   docker build -t drac_jax:cuda --build-arg EXTRAS=cuda \
#       --build-arg BASE=nvidia/cuda:13.0.1-base-ubuntu24.04 .
#   docker run --rm --gpus all --user "$(id -u)" -v "$PWD/runs:/runs/runs" drac_jax:cuda \
#       run pointmaze_hard_amortized --preset gpu
ARG BASE=debian:trixie-slim
FROM ${BASE}

ARG EXTRAS=tensorboard
ENV DEBIAN_FRONTEND=noninteractive PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
# Python 3.13 of Debian, 3.12 of Ubuntu; the GL libraries draw robots without a screen.
RUN apt-get update \
    && apt-get install -y --no-install-recommends \
        ca-certificates python3 python3-venv libegl1 libgl1 libgl1-mesa-dri \
    && rm -rf /var/lib/apt/lists/*

WORKDIR /src
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY drac_jax drac_jax
COPY envs envs
COPY experiments experiments
RUN python3 -m venv /venv && /venv/bin/pip install -c constraints.txt ".[${EXTRAS}]"

ENV PATH=/venv/bin:$PATH MUJOCO_GL=egl HOME=/tmp
RUN mkdir -p /runs/runs && chmod -R 777 /runs
USER 1000
WORKDIR /runs
ENTRYPOINT ["drac-jax"]
CMD ["--help"]
