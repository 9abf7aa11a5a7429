"""The peer: PyTorch on MNIST, channels last, bfloat16 by autocast, fused Adam.

    python benchmarks/peers/torch_mnist.py FOLDER STEPS

Prints a JSON object with the examples per second of STEPS steps, after twenty.
"""

import gzip
import json
import sys
import time

import numpy as np
import torch
from torch import nn


BATCH = 100
WARM = 20


def main(folder, steps):
    """Train and print."""
    torch.manual_seed(1)
    with gzip.open(f"{folder}/train-images-idx3-ubyte.gz") as file:
        pixels = np.frombuffer(file.read(), np.uint8, offset=16).reshape(-1, 1, 28, 28)
    with gzip.open(f"{folder}/train-labels-idx1-ubyte.gz") as file:
        labels = torch.from_numpy(np.frombuffer(file.read(), np.uint8, offset=8).astype(np.int64))
    images = torch.from_numpy((pixels / 255).astype(np.float32)).contiguous(memory_format=torch.channels_last)
    model = nn.Sequential(
        *(nn.Conv2d(1, 32, 5, padding="same"), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(32, 64, 5, padding="same"), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Flatten(), nn.Linear(3136, 1024), nn.ReLU(), nn.Dropout(0.4), nn.Linear(1024, 10)),
    ).to(memory_format=torch.channels_last)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, fused=True)
    order = torch.randperm(len(labels))
    for step in range(WARM + steps):
        if step == WARM:
            began = time.monotonic()
        at = step * BATCH % (len(labels) - BATCH)
        chosen = order[at : at + BATCH]
        with torch.autocast("cpu", dtype=torch.bfloat16):
            loss = nn.functional.cross_entropy(model(images[chosen]), labels[chosen])
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
    print(json.dumps({"examples_per_second": steps * BATCH / (time.monotonic() - began), "loss": float(loss)}))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
