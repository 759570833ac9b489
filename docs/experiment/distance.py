"""How much better does a model know the text that it was trained on last?

    python docs/experiment/distance.py linux-kernel.txt checkpoints/kernel-NAME.safetensors …

Training reads 64 streams side by side. Prints the loss, in nats per byte, of the model as it lies
in the file, without dropout, on 1,024 bytes of each stream that begin so many bytes after the
place where training stood (behind it, where negative: these bytes have been read).
"""

import sys
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

from gridlstm.checkpoint import load_model
from gridlstm.corpus import cut_into_streams, read_corpus
from gridlstm.model import LanguageModel

DISTANCES = -65536, -16384, -4096, -1024, 0, 1024, 4096, 16384, 65536, 262144, 1048576
WARM_UP, COUNTED = 256, 1024


@torch.inference_mode()
def loss_at(model: LanguageModel, streams: Tensor, begin: int) -> float:
    """Nats per byte on the bytes of all streams [stream, byte] from `begin` on, the bytes before
    them read first."""
    text = streams[:, begin - WARM_UP : begin + COUNTED].long().T
    logits, _ = model(text[:-1], model.start(len(streams)))
    return functional.cross_entropy(
        logits[-COUNTED:].flatten(0, 1), text[-COUNTED:].flatten()
    ).item()


def main(text: str, *checkpoints: str) -> None:
    for path in map(Path, checkpoints):
        model, metadata = load_model(path)
        training = metadata.training
        train = read_corpus(Path(text), training["train_fraction"]).train
        cut = cut_into_streams(train, training["sequences"], training["length"])
        streams, stood = torch.tensor(cut.rows), metadata.updates * training["length"]
        for distance in DISTANCES:
            print(f"{path.stem} {distance:+} {loss_at(model, streams, stood + distance):.3f}")


if __name__ == "__main__":
    main(*sys.argv[1:])
