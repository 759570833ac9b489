#!/usr/bin/env bash
# mmengine 0.10.7: a validation metric with "loss" (or "time") anywhere in its name is logged as the mean
# of the last 10 validations, on the screen, in `scalars.json` and in every other backend. The same
# number under another name ("nll", "bpc") is logged as it is. The averaging is meant for the training
# loss; the pattern is looked for in validation's names too. The curve of a falling `val_loss` lags, lies
# too high, and hides where overfitting begins: below, the loss turns at the 4th validation, and the log
# falls on to the 6th. What chooses the best checkpoint sees the true number, so the
# "best" epoch is not the lowest point of the logged curve.
# So: take a validation loss of mmengine's as a mean of up to 10 evaluations, or undo it (the n-th value
# is n times the n-th mean less n - 1 times the one before, for the first 10); name one's own "nll".
#
# Seen:
#   validation  nll   8, 4, 2, 1, 2, 3, 4, 4
#   validation  loss  8, 6, 4.667, 3.75, 3.4, 3.333, 3.429, 3.5
#   the same, undone  8, 4, 2, 1, 2, 3, 4, 4
#   best checkpoint by "loss": epoch 4; lowest logged "loss": epoch 6
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 mmengine==0.10.7 \
    opencv-python==5.0.0.93 numpy==2.4.6
"$folder/venv/bin/python" - "$folder" 2> "$folder/messages" <<'PYTHON' || { cat "$folder/messages" >&2; exit 1; }
import json
import re
import sys
from pathlib import Path

import torch
from mmengine.evaluator import BaseMetric
from mmengine.model import BaseModel
from mmengine.runner import Runner

torch.set_num_threads(1)
torch.manual_seed(0)
losses = [8.0, 4.0, 2.0, 1.0, 2.0, 3.0, 4.0, 4.0]  # what the validations shall give, in turn


class Recurrent(BaseModel):
    def __init__(self):
        super().__init__()
        self.rnn = torch.nn.GRU(3, 4)

    def forward(self, inputs, mode):
        states, _ = self.rnn(torch.stack(inputs, 1))
        return {"loss": states.pow(2).mean()} if mode == "loss" else [states]


class Loss(BaseMetric):
    """One number under two names."""

    validations = 0

    def process(self, data_batch, data_samples):
        self.results.append(None)

    def compute_metrics(self, results):
        self.validations += 1
        return {"loss": losses[self.validations - 1], "nll": losses[self.validations - 1]}


sequences = {
    "dataset": [{"inputs": torch.randn(5, 3)} for _ in range(4)],
    "batch_size": 1,
    "sampler": {"type": "DefaultSampler", "shuffle": False},
    "num_workers": 0,
}
Runner(
    model=Recurrent(),
    work_dir=sys.argv[1] + "/run",
    train_dataloader=sequences,
    train_cfg={"by_epoch": True, "max_epochs": len(losses)},
    optim_wrapper={"optimizer": {"type": "SGD", "lr": 0.1}},
    val_dataloader=sequences,
    val_evaluator=[Loss()],
    val_cfg={},
    default_hooks={"checkpoint": {"type": "CheckpointHook", "interval": 1, "save_best": "loss", "rule": "less"}},
    log_level="ERROR",
).train()

(log,) = Path(sys.argv[1], "run").rglob("scalars.json")
rows = [row for row in map(json.loads, log.read_text().splitlines()) if "nll" in row]
logged = {name: [row[name] for row in rows] for name in ("nll", "loss")}
totals = [0.0] + [mean * n for n, mean in enumerate(logged["loss"], 1)]
undone = [after - before for before, after in zip(totals, totals[1:])]


def listed(values):
    return ", ".join(f"{value:.4g}" for value in values)


print("validation  nll  ", listed(logged["nll"]))
print("validation  loss ", listed(logged["loss"]))
print("the same, undone ", listed(undone))
(best,) = Path(sys.argv[1], "run").glob("best_loss_epoch_*.pth")
best_epoch = int(re.search(r"epoch_(\d+)", best.name)[1])
lowest = 1 + logged["loss"].index(min(logged["loss"]))
print(f'best checkpoint by "loss": epoch {best_epoch}; lowest logged "loss": epoch {lowest}')
means = [sum(losses[:n]) / n for n in range(1, len(losses) + 1)]
assert logged["nll"] == losses, "the behaviour has changed"
assert all(abs(a - b) < 1e-9 for a, b in zip(logged["loss"], means, strict=True)), "the behaviour has changed"
assert (best_epoch, lowest) == (4, 6), "the behaviour has changed"
PYTHON
