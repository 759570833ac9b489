"""One text read many times at once, each time with clamps of its own.

Information only goes up and forward, except in gated feedback. So a reading is the one without any
holds up to its lowest held layer, which then is all that it has to itself.
"""

from collections.abc import Sequence
from itertools import chain

import torch
from torch import Tensor

from gridlstm.backends.plan import Shape
from gridlstm.clamps import AnyClamp, Followed, check_clamp, clamps_of, layers_followed
from gridlstm.model import LanguageModel


class Readings:
    """Readings each from its lowest held layer up, or as a whole where layers read upper ones, too.

    The first sequence of a layer has no clamps. Those that begin in lower layers come before those
    that begin above, which up to there are the first one. Raises ClampError. `of` [intervention]
    says which of the sequences of the top layer is an intervention's. So many `positions` are to be
    read, `at_once` in a call.
    """

    def __init__(
        self,
        model: LanguageModel,
        interventions: Sequence[Sequence[AnyClamp]],
        positions: int,
        at_once: int,
    ) -> None:
        config, like = model.config, model.decoder.weight
        for clamp in chain.from_iterable(interventions):
            check_clamp(clamp, config)
        begins = [min((clamp.layer for clamp in clamps), default=0) for clamps in interventions]
        if config.form.feedback:
            begins = [min(begin, 1) for begin in begins]
        order = sorted((n for n, begin in enumerate(begins) if begin), key=begins.__getitem__)
        self.of = torch.zeros(len(begins), dtype=torch.int64, device=like.device)
        self.of[order] = torch.arange(1, len(order) + 1, device=like.device)
        self.states, self.clamps = [], []
        followed: Followed = {}
        follow = layers_followed(interventions)
        for layer in range(1, config.layers + 1):
            own = [interventions[n] for n in order if begins[n] <= layer]
            self.states.append(tuple(part[0] for part in model.start(len(own) + 1)))
            self.clamps.append(clamps_of([[], *own], config, like, followed, follow))
        shape = Shape(at_once, len(order) + 1, positions)
        self.reader = model.recurrent.reader(shape)

    def read(self, embedded: Tensor) -> Tensor:
        """Read on: embedded tokens [T, 1, I] -> what the decoder gets, of each sequence
        [T, B, U]."""
        return self.reader.read(embedded, self.states, self.clamps)
