"""A graph of nngraph as what it computes: cells found by their products and sums.

Annotations and the order of modules are not looked at, only which node reads which: three
generations of char-rnn cut the gates apart in three ways, and the Grid LSTM's annotations name the
wrong states.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from gridlstm.array_types import NumberArray
from gridlstm.importing.arrays import cell_weights
from gridlstm.importing.errors import DamagedFileError, ForeignModelError
from gridlstm.importing.foreign_model import CellWeights
from gridlstm.importing.records import Record
from gridlstm.importing.tensors import Storage, StoredTensor
from gridlstm.importing.torch7 import Table

MAX_NODES = 20_000
# What a module gives in evaluation is what it reads.
_TRANSPARENT = ("Identity", "Dropout", "Copy", "Contiguous")


@dataclass(eq=False)
class Node:
    """A value of the graph: what computes it (`input` for what is given to the graph), the module
    and the values read, in their order; `index` of an input or of a part of a table, from 0."""

    kind: str
    module: Record | None = None
    reads: list["Node"] = field(default_factory=list)
    index: int = 0

    @property
    def own_module(self) -> Record:
        """The module, of a node that has one."""
        assert self.module is not None
        return self.module

    @property
    def only(self) -> "Node":
        if len(self.reads) != 1:
            raise ForeignModelError(f"The graph has a {self.kind} that reads several values.")
        return self.reads[0]


# The weights of cells by the kind and the places of their tensors.
Cache = dict[tuple[object, ...], CellWeights]


@dataclass(frozen=True, eq=False)
class Cell:
    """One cell of the graph: its kind (lstm, gru, rnn), its new values, the node of the memory and
    of the state it reads, the node it reads from below, and its weights in our order."""

    kind: str
    hidden: Node
    memory: Node | None
    memory_before: Node | None
    state: Node
    below: Node
    weights: CellWeights


def read_graph(module: Record) -> list[Node]:
    """What the graph gives, in the order of its outputs. Raises ForeignModelError."""
    ends = [module.get("outnode"), module.get("innode")]
    if not all(isinstance(end, Record) and isinstance(end.get("data"), Table) for end in ends):
        raise DamagedFileError("The graph of the model has no beginning or no end.")
    outputs = _sources(ends[0].get("data"))
    if not outputs:
        raise DamagedFileError("The graph of the model gives nothing.")
    nodes = _nodes(outputs, ends[1].get("data"))
    return [nodes[id(data)] for data in outputs]


def _nodes(outputs: list[Table], beginning: Table) -> dict[int, Node]:
    """Every value that the outputs need, by the identity of its data; what it reads comes first."""
    nodes: dict[int, Node] = {}
    entered: set[int] = set()
    waiting = list(outputs)
    while waiting:
        data = waiting[-1]
        if id(data) in nodes:
            waiting.pop()
            continue
        sources = [] if data is beginning else _sources(data)
        missing = [source for source in sources if id(source) not in nodes]
        if not missing:
            nodes[id(data)] = _node(data, [nodes[id(source)] for source in sources], beginning)
            waiting.pop()
        elif id(data) in entered or len(nodes) + len(waiting) > MAX_NODES:
            raise DamagedFileError("The graph of the model has a circle or no end.")
        else:
            entered.add(id(data))
            waiting += missing
    return nodes


def _sources(data: Table) -> list[Table]:
    """The data of the nodes that a node reads, in their order."""
    sources = data.get("mapindex")
    listed = sources.listed if isinstance(sources, Table) else []
    if not all(isinstance(source, Table) for source in listed) or len(listed) > MAX_NODES:
        raise DamagedFileError("The graph of the model reads something that is no node.")
    return listed


def _node(data: Table, reads: list[Node], beginning: Table) -> Node:
    module, part = data.get("module"), data.get("selectindex")
    if data is beginning:
        return Node("beginning")
    if isinstance(module, Record):
        kind = module.name.rpartition(".")[2]
        if kind == "Dropout":
            _check_dropout(module)
        if kind in _TRANSPARENT and len(reads) == 1:
            # A graph of one input does not cut it into parts.
            return Node("input") if reads[0].kind == "beginning" else reads[0]
        return Node(kind, module, reads)
    if type(part) is int and len(reads) == 1:
        kind = "input" if reads[0].kind == "beginning" else "select"
        return Node(kind, None, reads, part - 1)
    if len(reads) == 1:
        return reads[0]
    raise ForeignModelError("The graph of the model has a node without a module.")


def _check_dropout(module: Record) -> None:
    if module.get("v2") is not True and module.get("p") not in (0, None):
        raise ForeignModelError(
            "The model's dropout is of the kind that scales in evaluation (before v2), which is "
            "not read."
        )


# -- Cells -----------------------------------------------------------------------------------------


def find_cell(hidden: Node, cache: Cache, state: Node | None = None) -> Cell | None:
    """The cell whose new state is `hidden`; None if it is none. `cache` gives the same weights the
    same object. `state` is the state that an LSTM reads, where it is not the character before's.
    Raises ForeignModelError."""
    if hidden.kind == "CMulTable" and len(hidden.reads) == 2:
        return _find_lstm(hidden, cache, state)
    if hidden.kind == "CAddTable" and len(hidden.reads) == 2:
        return _find_gru(hidden, cache)
    if hidden.kind == "Tanh" and hidden.only.kind == "CAddTable":
        return _find_rnn(hidden, cache)
    return None


def _find_lstm(hidden: Node, cache: Cache, state: Node | None) -> Cell | None:
    """h = sigmoid(o) tanh(c), c = sigmoid(f) c' + sigmoid(i) tanh(g)."""
    squashed = next((node for node in hidden.reads if node.kind == "Tanh"), None)
    if squashed is None:
        return None
    memory = squashed.only
    output = _other(hidden, squashed)
    if memory.kind != "CAddTable" or len(memory.reads) != 2:
        return None
    if any(node.kind != "CMulTable" or len(node.reads) != 2 for node in memory.reads):
        return None
    kinds = [[_activation(node) for node in product.reads] for product in memory.reads]
    for number in (0, 1):
        written, kept = memory.reads[number], memory.reads[1 - number]
        if sorted(map(str, kinds[number])) == ["Sigmoid", "Tanh"]:
            candidate = written.reads[kinds[number].index("Tanh")]
            gate = _other(written, candidate)
            break
    else:
        return None
    forget = next((node for node in kept.reads if _activation(node) == "Sigmoid"), None)
    if forget is None or _activation(output) != "Sigmoid":
        return None
    gates = {"i": gate, "f": forget, "o": output, "g": candidate}
    sums = {letter: _sum(node) for letter, node in gates.items()}
    state, below, weights = _weights("lstm", sums, cache, state)
    return Cell("lstm", hidden, memory, _other(kept, forget), state, below, weights)


def _find_gru(hidden: Node, cache: Cache) -> Cell | None:
    """h = z n + (1 - z) h' or z h' + (1 - z) n, n = tanh(W x + V (r h'))."""
    products = hidden.reads
    if any(node.kind != "CMulTable" or len(node.reads) != 2 for node in products):
        return None
    candidate = next(
        (node for product in products for node in product.reads if _activation(node) == "Tanh"),
        None,
    )
    new = next((product for product in products if candidate in product.reads), None)
    if candidate is None or new is None:
        return None
    old = _other(hidden, new)
    share = _other(new, candidate)
    complement = _complement(share)
    update, replaces = (complement, False) if complement else (share, True)
    share_of_old = [node for node in old.reads if node is update or _complement(node) is update]
    if len(share_of_old) != 1 or (share_of_old[0] is update) == replaces:
        return None
    state = _other(old, share_of_old[0])
    sums = {"z": _sum(update), "n": _sum(candidate)}
    reset_product = next(
        (node for _, node in sums["n"].terms if node.kind == "CMulTable" and state in node.reads),
        None,
    )
    if reset_product is None:
        return None
    sums["r"] = _sum(_other(reset_product, state))
    terms = [(module, state if node is reset_product else node) for module, node in sums["n"].terms]
    sums["n"] = _Sum(terms, sums["n"].offset, sums["n"].length)
    update_does = "replaces" if replaces else "keeps"
    read, below, weights = _weights("gru", sums, cache, state, update=update_does, reset="before")
    return Cell("gru", hidden, None, None, read, below, weights)


def _find_rnn(hidden: Node, cache: Cache) -> Cell | None:
    """h = tanh(W x + V h')."""
    total = _sum(hidden)
    if len(total.terms) != 2:
        return None
    state, below, weights = _weights("rnn", {"h": total}, cache)
    return Cell("rnn", hidden, None, None, state, below, weights)


def _other(node: Node, one: Node) -> Node:
    """The other of the two that a node reads."""
    return node.reads[1] if node.reads[0] is one else node.reads[0]


def _complement(node: Node) -> Node | None:
    """z where the node is 1 - z."""
    if node.kind != "AddConstant" or not _is_number(node, "constant_scalar", 1):
        return None
    inner = node.only
    if inner.kind != "MulConstant" or not _is_number(inner, "constant_scalar", -1):
        return None
    return inner.only


def _is_number(node: Node, name: str, value: float) -> bool:
    return node.module is not None and node.module.get(name) == value


# -- Gates and the weights behind them -------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Sum:
    """A sum of linear modules of what each reads, of whose rows `length` from `offset` on are
    meant; all, if that is None."""

    terms: list[tuple[Record, Node]]
    offset: int
    length: int | None


def _activation(node: Node) -> str | None:
    """Through what a gate goes, however it is cut out of a common product."""
    node = _uncut(node)
    return node.kind if node.kind in ("Sigmoid", "Tanh") else None


def _uncut(node: Node) -> Node:
    while node.kind in ("Narrow", "select", "SplitTable", "Reshape", "View"):
        node = node.only
    return node


def _sum(gate: Node) -> _Sum:
    """What stands within a gate's sigmoid or tanh. Raises ForeignModelError."""
    offset, node = 0, gate
    length: int | None = None
    while node.kind in ("Narrow", "select", "Sigmoid", "Tanh"):
        if node.kind == "Narrow":
            begin, count = node.own_module.get("index"), node.own_module.get("length")
            if type(begin) is not int or type(count) is not int or begin < 1 or count < 1:
                raise DamagedFileError("A Narrow of the graph has no place.")
            offset, length, node = offset + begin - 1, length or count, node.only
        elif node.kind == "select":
            part, node = node.index, node.only
            node, width = _split_reshape(node)
            offset, length = offset + part * width, length or width
        else:
            node = node.only
    linears = node.reads if node.kind == "CAddTable" else [node]
    if not all(linear.kind in ("Linear", "LinearNoBias") for linear in linears):
        kinds = sorted({linear.kind for linear in linears})
        raise ForeignModelError(
            f"A gate of the model sums {', '.join(kinds)[:80]}, where only linear layers are known."
        )
    return _Sum([(linear.own_module, linear.only) for linear in linears], offset, length)


def _split_reshape(node: Node) -> tuple[Node, int]:
    """What a SplitTable of a Reshape to [gates, units] cuts apart, and the units."""
    if node.kind != "SplitTable" or node.only.kind not in ("Reshape", "View"):
        raise ForeignModelError("The graph cuts its gates apart in a way that is not known.")
    reshape = node.only
    size = reshape.own_module.get("size")
    sizes = size.numbers().tolist() if isinstance(size, Storage) and size.length <= 8 else []
    sizes = [number for number in sizes if number != -1]
    if len(sizes) != 2 or not all(type(number) is int and number > 0 for number in sizes):
        raise ForeignModelError("The graph cuts its gates apart in a way that is not known.")
    return reshape.only, sizes[1]


def _weights(
    kind: str,
    sums: Mapping[str, _Sum],
    cache: Cache,
    state: Node | None = None,
    update: str = "keeps",
    reset: str = "after",
) -> tuple[Node, Node, CellWeights]:
    """The state that a cell's gates read, what they read from below, and their weights.

    Of the two values that all gates read the state is the one given, else the one from before.
    """
    order = "".join(sums)
    read = {id(node): node for total in sums.values() for _, node in total.terms}
    if len(read) != 2:
        raise ForeignModelError("The gates of a cell read other than one state and one input.")
    first, second = read.values()
    state = state or _state_among(first, second)
    below = second if state is first else first
    rows = {
        letter: (_row_pieces(total, below), _row_pieces(total, state))
        for letter, total in sums.items()
    }
    key = (kind, order, *(piece.key for pieces in rows.values() for piece in pieces))
    if key not in cache:
        arrays = [
            np.concatenate([rows[letter][which].weight() for letter in order]) for which in (0, 1)
        ]
        biases = [
            np.concatenate([rows[letter][which].bias() for letter in order]) for which in (0, 1)
        ]
        cache[key] = cell_weights(kind, *arrays, *biases, order=order, update=update, reset=reset)
    return state, below, cache[key]


def _state_among(first: Node, second: Node) -> Node:
    """The one that the graph is given from the character before."""
    inputs = [node for node in (first, second) if node.kind == "input"]
    if len(inputs) == 1:
        return inputs[0]
    if len(inputs) == 2:
        # One-hot vectors are given to the graph as the states are, but before them.
        return max(inputs, key=lambda node: node.index)
    raise ForeignModelError("A cell of the model does not read what it wrote before.")


@dataclass(frozen=True, eq=False)
class _Rows:
    """Some rows of a linear module."""

    module: Record
    offset: int
    length: int | None

    @property
    def key(self) -> tuple[object, ...]:
        tensors = (self.module.get("weight"), self.module.get("bias"))
        places = tuple(t.place if isinstance(t, StoredTensor) else None for t in tensors)
        return (*places, self.offset, self.length)

    def weight(self) -> NumberArray:
        weight = self.module.get("weight")
        if not isinstance(weight, StoredTensor) or len(weight.shape) != 2:
            raise ForeignModelError("A linear layer of the model has no weight.")
        return self._cut(weight.array())

    def bias(self) -> NumberArray:
        bias, weight = self.module.get("bias"), self.module.get("weight")
        if not isinstance(bias, StoredTensor):
            return self._cut(np.zeros(weight.shape[0], np.float32))
        if bias.shape != weight.shape[:1]:
            raise ForeignModelError("A linear layer's bias does not fit its weight.")
        return self._cut(bias.array())

    def _cut(self, rows: NumberArray) -> NumberArray:
        cut = rows[self.offset : None if self.length is None else self.offset + self.length]
        if self.length is not None and len(cut) != self.length:
            raise ForeignModelError("A gate of the model has more rows than its weight.")
        return cut


def _row_pieces(total: _Sum, node: Node) -> _Rows:
    found = [module for module, read in total.terms if read is node]
    if len(found) != 1:
        raise ForeignModelError("The gates of a cell read other than one state and one input.")
    return _Rows(found[0], total.offset, total.length)
