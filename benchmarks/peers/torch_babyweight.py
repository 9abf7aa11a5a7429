"""The peer: PyTorch on babyweight, tensors in memory, `EmbeddingBag` for what is one-hot, fused Adam.

    python benchmarks/peers/torch_babyweight.py ENCODED.npz EPOCHS

The same layout as our default model: parsing and encoding are done beforehand, by us. Prints a JSON object with the
examples per second of each epoch after the first hundred steps, and the RMSE on the evaluation rows.
"""

import json
import sys
import time

import numpy as np
import torch
from torch import nn


BATCH = 512
WARM = 100


class WideAndDeep(nn.Module):
    """Indices (B, 7) of one table and numbers (B, 3) to pounds (B,)."""

    def __init__(self, words, deep_words):
        super().__init__()
        self.wide = nn.EmbeddingBag(words, 1, mode="sum")
        self.wide_numbers = nn.Linear(1, 1, bias=False)
        self.first = nn.EmbeddingBag(deep_words, 64, mode="sum")  # one-hot times a matrix
        self.race = nn.Embedding(13, 3)
        self.numbers = nn.Linear(3 + 3, 64)
        self.second = nn.Linear(64, 32)
        self.outputs = nn.Linear(32, 1)
        nn.init.zeros_(self.wide.weight)
        nn.init.constant_(self.outputs.bias, 7.18)

    def forward(self, indices, race, numbers):
        dense = torch.cat([numbers, self.race(race)], dim=1)
        hidden = torch.relu(self.first(indices) + self.numbers(dense))
        hidden = torch.relu(self.second(hidden))
        return (self.outputs(hidden) + self.wide(indices) + self.wide_numbers(numbers[:, 2:])).squeeze(1)


def main(file, epochs):
    """Train, evaluate, print."""
    torch.manual_seed(1)
    arrays = {name: torch.from_numpy(value) for name, value in np.load(file).items()}
    words = int(arrays["train_indices"].max()) + 1
    model = WideAndDeep(words, words)
    rows = len(arrays["train_label"])
    steps = rows // BATCH
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3, fused=True)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps * epochs)
    names = [f"train_{name}" for name in ("indices", "race", "numbers", "label")]
    speeds = []
    for _ in range(epochs):
        order = torch.randperm(rows)
        for step in range(steps):
            if step == WARM:
                began = time.monotonic()
            chosen = order[step * BATCH : (step + 1) * BATCH]
            indices, race, numbers, label = (arrays[name][chosen] for name in names)
            loss = nn.functional.mse_loss(model(indices, race, numbers), label)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            schedule.step()
        speeds.append((steps - WARM) * BATCH / (time.monotonic() - began))
    with torch.no_grad():
        guessed = model(arrays["eval_indices"], arrays["eval_race"], arrays["eval_numbers"])
        rmse = float(nn.functional.mse_loss(guessed, arrays["eval_label"])) ** 0.5
    print(json.dumps({"examples_per_second": speeds, "rmse": rmse}))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
