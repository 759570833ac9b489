#!/usr/bin/env bash
# mmengine 0.10.7, its local log `vis_data/scalars.json` (one JSON object a line): `step` has two meanings.
# - training rows have `iter` and `step`, both updates; validation rows have `step` only, and it is the
#   epoch. With 50 updates an epoch, the values after updates 50, 100 and 150 stand at steps 1, 2, 3.
# - where training goes by updates (`by_epoch=False`, the usual way for a text without end), every
#   validation row stands at step 0, as long as the hook's `log_metric_by_epoch` keeps its default.
# The other backends (TensorBoard, W&B, …) are given the same steps: validation over training is crowded
# at the very beginning. And a training row is the mean of the last 10 updates, counted anew in each
# epoch: with a row every 20 of 50, the updates 1 to 10, 21 to 30 and 41 to 50 are in none.
# So: a row without `iter` is a validation; place it after the training row before it, never by `step`,
# and say of the training loss that it is a mean of 10 updates.
#
# Seen:
#   by epochs: training (step, loss) (20, 15.5) (40, 35.5) (70, 65.5) (90, 85.5) (120, 115.5) (140, 135.5)
#   by epochs: validation after updates 50, 100, 150 at steps 1, 2, 3
#   by updates: validation after updates 30, 60, 90, 120, 150 at steps 0, 0, 0, 0, 0
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 mmengine==0.10.7 \
    opencv-python==5.0.0.93 numpy==2.4.6
"$folder/venv/bin/python" - "$folder" 2> "$folder/messages" <<'PYTHON' || { cat "$folder/messages" >&2; exit 1; }
import json
import sys
from pathlib import Path

import torch
from mmengine.evaluator import BaseMetric
from mmengine.model import BaseModel
from mmengine.runner import Runner

torch.set_num_threads(1)
torch.manual_seed(0)
updates = 0


class Counter(BaseModel):
    """A GRU whose loss is reported as the number of the update, so that every mean tells its updates."""

    def __init__(self):
        super().__init__()
        self.rnn = torch.nn.GRU(3, 4)

    def forward(self, inputs, mode):
        global updates
        states, _ = self.rnn(torch.stack(inputs, 1))
        if mode != "loss":
            return [states]
        updates += 1
        loss = states.pow(2).mean()
        return {"loss": loss - loss.detach() + updates}


class UpdatesDone(BaseMetric):
    """A metric that is the number of updates done, so that every row tells where it belongs."""

    def process(self, data_batch, data_samples):
        self.results.append(updates)

    def compute_metrics(self, results):
        return {"done": float(results[-1])}


def train(name, **schedule):
    """The rows of scalars.json: training and validation."""
    global updates
    updates = 0
    sequences = {
        "dataset": [{"inputs": torch.randn(5, 3)} for _ in range(50)],
        "batch_size": 1,
        "sampler": {"type": "DefaultSampler", "shuffle": False},
        "num_workers": 0,
    }
    runner = Runner(
        model=Counter(),
        work_dir=str(Path(sys.argv[1]) / name),
        experiment_name=name,
        train_dataloader=sequences,
        train_cfg=schedule,
        optim_wrapper={"optimizer": {"type": "SGD", "lr": 0.1}},
        val_dataloader=sequences,
        val_evaluator=[UpdatesDone()],
        val_cfg={},
        default_hooks={"logger": {"type": "LoggerHook", "interval": 20}},
        log_level="ERROR",
    )
    runner.train()
    (log,) = (Path(sys.argv[1]) / name).rglob("scalars.json")
    rows = [json.loads(line) for line in log.read_text().splitlines()]
    return [row for row in rows if "iter" in row], [row for row in rows if "iter" not in row]


def listed(values):
    return ", ".join(f"{value:g}" for value in values)


training, validation = train("epochs", by_epoch=True, max_epochs=3)
points = [(row["step"], row["loss"]) for row in training]
print("by epochs: training (step, loss)", *points)
# The mean of the ten updates up to and with the row's own.
assert points == [(step, step - 4.5) for step in (20, 40, 70, 90, 120, 140)], "the behaviour has changed"
done, steps = [row["done"] for row in validation], [row["step"] for row in validation]
print(f"by epochs: validation after updates {listed(done)} at steps {listed(steps)}")
assert (done, steps) == ([50, 100, 150], [1, 2, 3]), "the behaviour has changed"

_, validation = train("updates", by_epoch=False, max_iters=150, val_interval=30)
done, steps = [row["done"] for row in validation], [row["step"] for row in validation]
print(f"by updates: validation after updates {listed(done)} at steps {listed(steps)}")
assert (done, steps) == ([30, 60, 90, 120, 150], [0] * 5), "the behaviour has changed"
PYTHON
