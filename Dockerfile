# Counterpoise with PyTorch for CPUs: about 2 GB in place of 6. Not built by the tests.
#
#   docker build -t counterpoise .
#   docker run --rm -v "$PWD/project:/project" counterpoise new project
#   docker run --rm -v "$PWD/project:/project" counterpoise run
#
# For GPUs: docker build --build-arg TORCH_INDEX=https://download.pytorch.org/whl/cu128 ...
FROM python:3.12-slim

ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu

# Git: records name the commit of the project that they were made in.
RUN apt-get update && apt-get install -y --no-install-recommends git && rm -rf /var/lib/apt/lists/*
COPY . /source
# PyTorch first and from its own index; the pins of constraints.txt are met by its local versions, too.
RUN pip install --no-cache-dir --index-url "$TORCH_INDEX" \
        $(grep -E '^(torch|torchaudio|torchvision)==' /source/constraints.txt)
RUN pip install --no-cache-dir -c /source/constraints.txt /source && rm -rf /source

WORKDIR /project
ENTRYPOINT ["counterpoise"]
CMD ["--help"]
