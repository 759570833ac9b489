#!/usr/bin/env bash
# flair 0.15.1, `LanguageModelTrainer` (character-level LSTMs): neither loss it reports is a mean.
# - validation and test (`loss.txt`, and what chooses `best-lm.pt` and lowers the learning rate): the
#   text is laid out in `mini_batch_size` columns of N rows, N - 1 rows are predicted, and the sum is
#   divided by N. The loss is too low by 1/N, so the larger the batch and the shorter the text, the
#   better the same model looks: 5 % for 2,000 characters at the default batch of 100, 1 % at 20.
# - training (`training.log`): rows come after batch 100, 200, …, counted from 0; the first sums 101
#   batches, the others 100, and all are divided by 100. The first row is 1 % too high.
# Perplexities are powers of these. Differences between architectures are often smaller than that.
# So: with L characters and B columns, multiply a validation loss of flair's by N / (N - 1), N = L // B;
# do not compare it as it stands with another program's, nor with flair's at another batch size.
#
# Seen:
#   validation, 100 columns of 20 rows: loss.txt 0.4023, mean of all predictions 0.4234, ratio 0.9501
#   the same model, 20 columns of 100 rows: flair 0.1559, mean of all predictions 0.1575, ratio 0.9900
#   training.log, first row 1.3300, mean of its batches 1.3169, ratio 1.0100
#   training.log, second row 0.1093, mean of its batches 0.1093, ratio 0.9999
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 flair==0.15.1 \
    transformers==4.57.6 numpy==2.4.6
export FLAIR_CACHE_ROOT="$folder/cache"
"$folder/venv/bin/python" - "$folder" 2> "$folder/messages" <<'PYTHON' || { cat "$folder/messages" >&2; exit 1; }
import logging
import random
import re
import sys
from pathlib import Path

import flair
import torch
from flair.data import Dictionary
from flair.models import LanguageModel
from flair.trainers.language_model_trainer import LanguageModelTrainer, TextCorpus

logging.getLogger("flair").handlers.clear()
flair.device = torch.device("cpu")
flair.set_seed(0)
torch.set_num_threads(1)
folder = Path(sys.argv[1])
words = random.Random(0)
text = "".join(words.choice(["the cat sat. ", "a dog ran. ", "an owl saw it. "]) for _ in range(20_000))
validation = text[210_000:212_000]
(folder / "train").mkdir()
(folder / "train" / "part.txt").write_text(text[:210_000])
(folder / "valid.txt").write_text(validation)
(folder / "test.txt").write_text(text[212_000:214_000])
characters = Dictionary(add_unk=True)
for character in sorted(set(text)):
    characters.add_item(character)

corpus = TextCorpus(folder, characters, forward=True, character_level=True)
model = LanguageModel(characters, is_forward_lm=True, hidden_size=16, nlayers=1, embedding_size=8, dropout=0)
trainer = LanguageModelTrainer(model, corpus)
batch_losses = []  # of every training batch, as the trainer's own loss function gives them
cross_entropy = trainer.loss_function


def record(logits, targets):
    loss = cross_entropy(logits, targets)
    if torch.is_grad_enabled():
        batch_losses.append(loss.item())
    return loss


trainer.loss_function = record
trainer.train(folder / "out", sequence_length=10, mini_batch_size=100, max_epochs=1, num_workers=0, learning_rate=5)


@torch.no_grad()
def mean_loss(network, columns):
    """Mean cross-entropy (nats) of all predictions within equal columns, each read at once from blank."""
    rows = len(validation) // columns
    indices = torch.tensor([characters.get_idx_for_item(c) for c in validation]).view(columns, rows)
    logits, _, _ = network(indices.t()[:-1], network.init_hidden(columns))
    return torch.nn.functional.cross_entropy(logits.flatten(0, 1), indices.t()[1:].flatten()).item()


saved = LanguageModel.load_language_model(folder / "out" / "best-lm.pt")
written = float(re.search(r"valid loss (\S+)", (folder / "out" / "loss.txt").read_text())[1])
true = mean_loss(saved, 100)
print(f"validation, 100 columns of 20 rows: loss.txt {written:.4f}, mean of all predictions {true:.4f},", end=" ")
print(f"ratio {written / true:.4f}")
assert abs(written - true * 19 / 20) < 2e-4 and abs(written - true) > 0.01, "the behaviour has changed"

narrow = LanguageModelTrainer(saved, corpus)
by_flair, true = narrow.evaluate(narrow._batchify(corpus.valid, 20), 20, 10), mean_loss(saved, 20)
print(f"the same model, 20 columns of 100 rows: flair {by_flair:.4f}, mean of all predictions {true:.4f},", end=" ")
print(f"ratio {by_flair / true:.4f}")
assert abs(by_flair / true - 0.99) < 1e-4, "the behaviour has changed"

logged = [float(loss) for loss in re.findall(r"batches .*\| loss (\S+)", (folder / "out" / "training.log").read_text())]
means = [sum(batch_losses[:101]) / 101, sum(batch_losses[101:201]) / 100]
for name, row, mean in zip(("first", "second"), logged, means, strict=True):
    print(f"training.log, {name} row {row:.4f}, mean of its batches {mean:.4f}, ratio {row / mean:.4f}")
assert abs(logged[0] - 1.01 * means[0]) < 2e-4 and abs(logged[1] - means[1]) < 2e-4, "the behaviour has changed"
PYTHON
