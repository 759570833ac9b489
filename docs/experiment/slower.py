"""What do a few more updates at a lower learning rate change?

    python docs/experiment/slower.py linux-kernel.txt checkpoints/kernel-NAME.safetensors …

Goes on with a model's training where its checkpoint was written, for 480 updates at a tenth of the
rate (the optimiser and the carried states begin anew). Prints, every 120 updates, the mean loss in
training since the line before and that on 262,144 bytes spread evenly over the validation part, in
nats per byte.
"""

import sys
from pathlib import Path

import torch

from gridlstm.checkpoint import load_model
from gridlstm.corpus import read_corpus
from gridlstm.evaluation import evaluate
from gridlstm.training.learner import Learner
from gridlstm.training.settings import SETTING_MEANINGS, TrainingSettings
from gridlstm.training.tasks import task_of
from gridlstm.training.workers import Workers

UPDATES, BETWEEN, BYTES = 480, 120, 262_144


def main(text: str, *checkpoints: str) -> None:
    for path in map(Path, checkpoints):
        model, metadata = load_model(path)
        rate = metadata.training["learning_rate"] / 10
        known = {
            name: value for name, value in metadata.training.items() if name in SETTING_MEANINGS
        }
        settings = TrainingSettings(**{**known, "learning_rate": rate})
        corpus = read_corpus(Path(text), settings.train_fraction)
        team = Workers(0, 1, torch.device("cpu"))
        learner = Learner(model.config, settings, task_of(settings, corpus), team)
        learner.model.load_tensors(model.to_tensors())
        losses: list[float] = []
        for done in range(UPDATES + 1):
            if done % BETWEEN == 0:
                found = evaluate(learner.model, corpus.validation, BYTES).nats_per_byte
                mean = f"{sum(losses) / len(losses):.4f}" if losses else "-"
                print(f"{path.stem} {done}: training {mean}, validation {found:.4f}", flush=True)
                losses = []
            losses.append(learner.update(metadata.updates + done))


if __name__ == "__main__":
    main(*sys.argv[1:])
