#!/usr/bin/env bash
# torchmetrics 1.9.0 and torcheval 0.0.7: `Perplexity` computes log(softmax(logits)) and the sum over the
# batch in the logits' own type, where torch's `cross_entropy` takes a stable log-softmax. So with the
# same half-precision logits, which autocast hands over without a word:
# - float16: one character of a probability under 3e-8 (17 nats) makes the perplexity of the whole text
#   infinite; and so does a batch whose losses add up to more than 65504 nats, such as 64 sequences of
#   1,024 characters at 1.6 nats, though every one of them is ordinary.
# - bfloat16: the sum of a batch has 8 bits, which is off by up to 0.4 % of the loss: below, 1.6139 nats
#   come out as 1.6172, and no value between 1.6094 and that can.
# - float32 too: 104 nats are infinite.
# Two metrics agree, so one checks nothing against the other.
# So: `cross_entropy(logits.float(), …, reduction="sum")`, added up in float64 (`math.exp` at the end).
#
# Seen:
#   float16, one character at 20 nats of 1000: cross_entropy 1.63, torchmetrics inf, torcheval inf
#   float16, batch of 65536 ordinary ones: cross_entropy 1.61, torchmetrics inf, torcheval inf
#   bfloat16, batch of 65536 ordinary ones: cross_entropy 1.6139, torchmetrics 1.6172, torcheval 1.6172
#   float32, one character at 110 nats of 1000: cross_entropy 1.72, torchmetrics inf, torcheval inf
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 torchmetrics==1.9.0 \
    torcheval==0.0.7 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import math

import torch
from torch.nn.functional import cross_entropy
from torcheval.metrics import Perplexity as OfTorcheval
from torchmetrics.text import Perplexity as OfTorchmetrics

torch.manual_seed(0)
torch.set_num_threads(1)


def losses(logits, targets):
    """Mean loss (nats): of the very same logits by cross_entropy in float64, and by both metrics."""
    found = [cross_entropy(logits.double().flatten(0, 1), targets.flatten()).item()]
    for metric in (OfTorchmetrics(), OfTorcheval()):
        metric.update(logits, targets)
        found.append(math.log(metric.compute().item()))
    return found


def show(name, found, digits=2):
    sources = ("cross_entropy", "torchmetrics", "torcheval")
    print(f"{name}:", ", ".join(f"{source} {loss:.{digits}f}" for source, loss in zip(sources, found)))
    return found


def one_surprise(nats, dtype):
    """1000 positions of about log 5 nats each, one of which was thought all but impossible."""
    logits, targets = torch.zeros(1, 1000, 5), torch.randint(0, 4, (1, 1000))
    logits[0, 500, 4], targets[0, 500] = -nats, 4
    return logits.to(dtype), targets


ordinary = torch.randn(64, 1024, 5) * 0.1, torch.randint(0, 5, (64, 1024))
half = show("float16, one character at 20 nats of 1000", losses(*one_surprise(20, torch.float16)))
large = show("float16, batch of 65536 ordinary ones", losses(ordinary[0].half(), ordinary[1]))
brain = show("bfloat16, batch of 65536 ordinary ones", losses(ordinary[0].bfloat16(), ordinary[1]), 4)
single = show("float32, one character at 110 nats of 1000", losses(*one_surprise(110, torch.float32)))
control = losses(ordinary[0], ordinary[1])
for found in (half, large, single):
    assert math.isfinite(found[0]) and found[1] == found[2] == math.inf, "the behaviour has changed"
assert all(0.002 < abs(value - brain[0]) < 0.02 for value in brain[1:]), "the behaviour has changed"
assert max(control) - min(control) < 1e-4
PYTHON
