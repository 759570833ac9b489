"""A long text read in one pass: cut into stretches that are read side by side, piece by piece.

Each stretch is read from the blank state, as a text of its own. Begun in the middle, shipped models
come back to the values of an uninterrupted reading within 500 to more than 2,048 positions
(`gridlstm.analysis.memory_horizon` measures it), so no warm-up could pretend that it was not cut.
The first `WARM_UP` positions of a stretch are left out of all sums.

Nothing is kept that grows with the text: observers are given each piece's quantities and keep sums.
Stretches are read in groups that depend on the text alone, each by one thread, so that sums do not
depend on how many processes or threads share them.
"""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from gridlstm.array_types import IntArray
from gridlstm.backends.parallel import torch_threads
from gridlstm.backends.plan import MAX_NUMBERS, Shape
from gridlstm.cells.arithmetic import State
from gridlstm.errors import UserError
from gridlstm.model import LanguageModel
from gridlstm.network import Reader

STRETCHES, SHORTEST_STRETCH = 32, 4_000
WARM_UP = 500
# Of more stretches a product takes hardly less time for each, and fewer threads share them.
GROUP = 8
# Positions read at a time: for fewer, torch's recurrence puts its weights in order too often.
PIECE = 128
# Pieces of a group between two moments at which all groups wait: to tell progress, to be stopped.
PIECES_A_ROUND = 4


class StretchesError(UserError):
    """A text that cannot be read in stretches; the message is one sentence for the user."""


@dataclass(frozen=True)
class Stretches:
    """A text of `positions` cut into `count` stretches of `length` positions, one after the other.
    What is left at the end, fewer positions than there are stretches, is not read."""

    positions: int
    count: int

    @property
    def length(self) -> int:
        return self.positions // self.count

    def start(self, stretch: int) -> int:
        return stretch * self.length

    @property
    def halves(self) -> tuple[range, range]:
        """The stretches of the text's first half and those of its second."""
        return range(self.count // 2), range(self.count // 2, self.count)

    @property
    def note(self) -> str:
        """In one sentence, how the text is read, to be said where results are shown."""
        return (
            f"Read as {self.count} texts of {self.length:,} positions side by side, each from the "
            f"blank state; the first {WARM_UP} positions of each are left out."
        )


def cut(positions: int, count: int = STRETCHES, shortest: int = SHORTEST_STRETCH) -> Stretches:
    """A text in `count` stretches, or in fewer that are not shorter than `shortest`. Raises
    StretchesError where nothing would be left of one."""
    if positions <= WARM_UP:
        raise StretchesError(
            f"The text has {positions:,} positions; the first {WARM_UP} of a stretch are left out, "
            "so it takes more."
        )
    return Stretches(positions, max(1, min(count, positions // shortest)))


@dataclass(frozen=True)
class Piece:
    """Some positions of stretches that are read side by side.

    `positions` int64 [position, stretch] are their indices in the whole text; `stretches` says
    which stretches they are, counted over the whole text.
    """

    positions: IntArray
    stretches: Sequence[int]


class Observer(Protocol):
    """What is told what a model does. Groups are read by several threads, so it is called by them,
    but never by two for the same group."""

    def see(self, piece: Piece, layer: int, values: Mapping[str, Tensor]) -> None:
        """Take what a layer, from 0, does in a piece: its quantities [position, stretch, unit]."""


@dataclass
class Group:
    """Stretches that one thread reads side by side, `read` positions of each so far; `state` [L, B,
    U] is the model's after them."""

    stretches: Sequence[int]
    state: State
    read: int = 0


def groups_of(model: LanguageModel, stretches: Sequence[int]) -> list[Group]:
    """Stretches in an even number of groups of nearly equal size, none read yet."""
    count = min(len(stretches), 2 * -(-len(stretches) // (2 * GROUP)))
    parts = np.array_split(np.asarray(stretches), count)
    return [Group(part.tolist(), model.start(len(part))) for part in parts]


@dataclass
class Corpus:
    """A model and the tokens [position] of a long text, any array of whole numbers, also one mapped
    from a file, cut into stretches."""

    model: LanguageModel
    tokens: IntArray
    stretches: Stretches
    # By the number of sequences: what is made ready of the weights serves all groups of a size.
    _readers: dict[int, Reader] = field(default_factory=dict, repr=False)

    def read(
        self,
        groups: Sequence[Group],
        until: int,
        observers: Sequence[Observer],
        after_round: Callable[[int], None] | None = None,
    ) -> None:
        """Read groups on to position `until` of their stretches, telling observers of each piece.

        `after_round` is told, every second or so, how many tokens were read since it was told last,
        while no group is being read: it may save sums, or raise `Cancelled`, and the groups can be
        read on afterwards.
        """
        if not groups:  # of few groups a process may have none
            return
        workers = min(torch.get_num_threads(), len(groups))
        share = 1 if len(groups) > 1 else torch.get_num_threads()
        length = max(1, min(PIECE, MAX_NUMBERS // (workers * self._numbers_a_position(groups))))

        def read_round(group: Group) -> int:
            with torch_threads(share), torch.inference_mode():
                return sum(
                    self._read_piece(group, length, until, observers) for _ in range(PIECES_A_ROUND)
                )

        with ThreadPoolExecutor(workers) as pool:
            while unread := [group for group in groups if group.read < until]:
                read = sum(pool.map(read_round, unread))
                if after_round is not None:
                    after_round(read)

    def _numbers_a_position(self, groups: Sequence[Group]) -> int:
        """Numbers computed at a position of all stretches of a group."""
        config = self.model.config
        widest = max(config.values_a_layer, config.input_size, config.vocabulary_size)
        return widest * max(len(group.stretches) for group in groups)

    def _read_piece(
        self, group: Group, length: int, until: int, observers: Sequence[Observer]
    ) -> int:
        """Read a group's next piece; returns how many tokens that were."""
        stop = min(group.read + length, until)
        if stop <= group.read:
            return 0
        starts = np.array([self.stretches.start(stretch) for stretch in group.stretches])
        positions = starts + np.arange(group.read, stop)[:, None]
        sequences = len(group.stretches)
        if sequences not in self._readers:
            shape = Shape(length, sequences, self.stretches.length)
            self._readers[sequences] = self.model.recurrent.reader(shape)
        if group.read == 0:
            group.state = self._begun(group.state)

        def told(layer: int, first: int, values: dict[str, Tensor]) -> None:
            count = len(next(iter(values.values())))
            piece = Piece(positions[first : first + count], group.stretches)
            for observer in observers:
                observer.see(piece, layer, values)

        device = self.model.decoder.weight.device
        tokens = torch.from_numpy(self.tokens[positions].astype(np.int64)).to(device)
        embedded = self.model.embedding(tokens)
        _, group.state = self._readers[sequences](embedded, group.state, told)
        group.read = stop
        return positions.size

    def _begun(self, state: State) -> State:
        """A blank state after the token that the model's vocabulary puts before a text, if any."""
        begin = self.model.vocabulary.begin
        if begin is None:
            return state
        sequences = state[0].shape[1]
        tokens = torch.full((1, sequences), begin, device=state[0].device)
        _, after = self.model.recurrent(self.model.embedding(tokens), state)
        return tuple(after)
