"""Writes files of Torch 7 (.t7, binary) as its own serialiser does, and the graphs of nngraph that
char-rnn and grid-lstm make of their cells, for models of known weights."""

import struct

import numpy as np


class Object:
    """An object of a class of Lua; its table are its fields."""

    def __init__(self, name: str, **fields) -> None:
        self.name, self.fields = name, fields


class Tensor:
    """A tensor: a view of a storage, which several may share."""

    def __init__(self, storage: "Storage", shape, offset: int = 0, kind: str = "Double") -> None:
        self.storage, self.shape, self.offset, self.kind = storage, tuple(shape), offset, kind


class Storage:
    def __init__(self, numbers: np.ndarray, kind: str = "Double") -> None:
        self.numbers, self.kind = numbers, kind


KINDS = {"Double": "<f8", "Float": "<f4", "Cuda": "<f4", "Long": "<i8"}


def tensor(numbers: np.ndarray, kind: str = "Double") -> Tensor:
    return Tensor(Storage(np.ravel(numbers), kind), np.shape(numbers), kind=kind)


def write(value) -> bytes:
    writer = _Writer()
    writer.value(value)
    return b"".join(writer.pieces)


class _Writer:
    def __init__(self) -> None:
        self.pieces: list[bytes] = []
        self.indices: dict[int, int] = {}
        self.kept: list = []

    def integers(self, *values: int) -> None:
        self.pieces.append(struct.pack(f"<{len(values)}i", *values))

    def longs(self, *values: int) -> None:
        self.pieces.append(struct.pack(f"<{len(values)}q", *values))

    def string(self, text: str | bytes) -> None:
        raw = text.encode() if isinstance(text, str) else text
        self.integers(len(raw))
        self.pieces.append(raw)

    def value(self, value) -> None:
        if value is None:
            self.integers(0)
        elif isinstance(value, bool):
            self.integers(5, int(value))
        elif isinstance(value, int | float):
            self.integers(1)
            self.pieces.append(struct.pack("<d", value))
        elif isinstance(value, str | bytes):
            self.integers(2)
            self.string(value)
        else:
            self.shared(value)

    def shared(self, value) -> None:
        """Tables and objects are numbered and written once."""
        table = isinstance(value, dict | list)
        self.integers(3 if table else 4)
        if id(value) in self.indices:
            self.integers(self.indices[id(value)])
            return
        self.kept.append(value)
        self.indices[id(value)] = len(self.indices) + 1
        self.integers(self.indices[id(value)])
        if table:
            self.table(value)
            return
        self.string("V 1")
        if isinstance(value, Object):
            self.string(value.name)
            self.value(value.fields)
        elif isinstance(value, Tensor):
            self.string(f"torch.{value.kind}Tensor")
            self.integers(len(value.shape))
            strides = [int(np.prod(value.shape[place + 1 :])) for place in range(len(value.shape))]
            self.longs(*value.shape, *strides, value.offset + 1)
            self.value(value.storage)
        else:
            self.string(f"torch.{value.kind}Storage")
            self.longs(len(value.numbers))
            self.pieces.append(value.numbers.astype(KINDS[value.kind]).tobytes())

    def table(self, table: dict | list) -> None:
        pairs = list(table.items()) if isinstance(table, dict) else list(enumerate(table, 1))
        self.integers(len(pairs))
        for key, value in pairs:
            self.value(key.entry if isinstance(key, Key) else key)
            self.value(value)


class Key:
    """A table as a key, which a dict of Python does not take."""

    def __init__(self, entry) -> None:
        self.entry = entry


# -- Graphs ----------------------------------------------------------------------------------------


class Node:
    """A node of nngraph: a module, or a part of what a node gives, and the nodes that it reads."""

    def __init__(self, module=None, reads=(), part: int | None = None, parts: int | None = None):
        self.data: dict = {"annotations": {}}
        if module is not None:
            self.data["module"] = module
        if part is not None:
            self.data |= {"selectindex": part, "input": {}}
        if parts is not None:
            self.data["nSplitOutputs"] = parts
        self.reads = list(reads)
        self.data["mapindex"] = {
            **{place: node.data for place, node in enumerate(self.reads, 1)},
            **{Key(node.data): place for place, node in enumerate(self.reads, 1)},
        }

    def named(self, name: str) -> "Node":
        self.data["annotations"] = {"name": name}
        return self

    def split(self, count: int) -> list["Node"]:
        middle = Node(None, [self], parts=count)
        return [Node(None, [middle], part=part) for part in range(1, count + 1)]

    def record(self) -> Object:
        return Object("nngraph.Node", data=self.data, children={}, id=1, visited=False)


def module(kind: str, *reads: Node, **fields) -> Node:
    return Node(Object(f"nn.{kind}", train=False, **fields), reads)


def graph(inputs: list[Node], begin: Node, outputs: list[Node]) -> Object:
    """nn.gModule: only what tells how values flow."""
    end = Node(None, outputs)
    return Object(
        "nn.gModule", outnode=end.record(), innode=begin.record(), nInputs=len(inputs), fg={}
    )


def inputs(count: int) -> tuple[list[Node], Node]:
    """The nodes that stand for what is given to a graph, and the one that it begins with."""
    begin = Node()
    parts = [begin] if count == 1 else begin.split(count)
    return [module("Identity", part) for part in parts], begin


class Weights:
    """Random weights of linear modules, kept by name as they were made."""

    def __init__(self, seed: int, kind: str = "Double") -> None:
        self.random, self.kind = np.random.default_rng(seed), kind
        self.made: dict[str, tuple[np.ndarray, np.ndarray]] = {}

    def linear(self, name: str, columns: int, rows: int) -> Object:
        weight, bias = self.random.normal(0, 0.6, (rows, columns)), self.random.normal(0, 0.6, rows)
        self.made[name] = (weight, bias)
        return Object(
            "nn.Linear", weight=tensor(weight, self.kind), bias=tensor(bias, self.kind), train=False
        )

    def lookup(self, name: str, size: int, width: int) -> Object:
        weight = self.random.normal(0, 0.6, (size, width))
        self.made[name] = (weight, np.zeros(0))
        return Object("nn.LookupTable", weight=tensor(weight, self.kind))


# -- char-rnn and grid-lstm ------------------------------------------------------------------------


def lstm_gates(total: Node, units: int, generation: str) -> list[Node]:
    """i, f, o and g, as three generations of char-rnn's LSTM.lua cut them out of their sum."""
    if generation == "reshape":
        reshaped = module("Reshape", total, size=Storage(np.array([4, units]), "Long"))
        parts = module("SplitTable", reshaped, dimension=2).split(4)
        return [*(module("Sigmoid", part) for part in parts[:3]), module("Tanh", parts[3])]
    sigmoids = module("Narrow", total, dimension=2, index=1, length=3 * units)
    sigmoids = module("Sigmoid", sigmoids)
    gates = [
        module("Narrow", sigmoids, dimension=2, index=1 + place * units, length=units)
        for place in range(3)
    ]
    candidate = module("Narrow", total, dimension=2, index=1 + 3 * units, length=units)
    return [*gates, module("Tanh", candidate)]


def lstm_update(gates: list[Node], memory: Node) -> tuple[Node, Node]:
    i, f, o, g = gates
    kept, written = module("CMulTable", f, memory), module("CMulTable", i, g)
    new = module("CAddTable", kept, written)
    return new, module("CMulTable", o, module("Tanh", new))


def _dropped(node: Node, dropout: float) -> Node:
    return module("Dropout", node, p=dropout, v2=True) if dropout else node


def char_rnn(kind: str, size: int, units: int, layers: int, *, generation="reshape", dropout=0.0,
             seed=0, tensors="Double"):  # fmt: skip
    """A graph of char-rnn: kind lstm, gru or rnn; and the weights by name."""
    weights = Weights(seed, tensors)
    states = 2 if kind == "lstm" else 1
    given, begin = inputs(1 + states * layers)
    outputs: list[Node] = []
    below, width = given[0], size
    if generation != "outside":
        below = Node(Object("OneHot", outputSize=size), [given[0]])
    for layer in range(layers):
        own = given[1 + states * layer : 1 + states * (layer + 1)]
        if layer:
            below, width = _dropped(outputs[-1], dropout), units
        add = globals()[f"_{kind}_layer"]
        outputs += add(weights, layer, below, width, own, units, generation)
    decoder = weights.linear("decoder", units, size)
    top = _dropped(outputs[-1], dropout)
    outputs.append(module("LogSoftMax", Node(decoder, [top]).named("decoder")))
    return graph(given, begin, outputs), weights


def _lstm_layer(weights, layer, below, width, own, units, generation) -> list[Node]:
    x = Node(weights.linear(f"{layer}.i2h", width, 4 * units), [below])
    h = Node(weights.linear(f"{layer}.h2h", units, 4 * units), [own[1]])
    gates = lstm_gates(module("CAddTable", x, h), units, generation)
    return list(lstm_update(gates, own[0]))


def _gru_layer(weights, layer, below, width, own, units, generation) -> list[Node]:
    before = own[0]

    def total(name: str, state: Node) -> Node:
        x = Node(weights.linear(f"{layer}.{name}.x", width, units), [below])
        h = Node(weights.linear(f"{layer}.{name}.h", units, units), [state])
        return module("CAddTable", x, h)

    update = module("Sigmoid", total("update", before))
    reset = module("Sigmoid", total("reset", before))
    candidate = module("Tanh", total("candidate", module("CMulTable", reset, before)))
    new = module("CMulTable", update, candidate)
    negative = module("MulConstant", update, constant_scalar=-1)
    rest = module("AddConstant", negative, constant_scalar=1)
    return [module("CAddTable", new, module("CMulTable", rest, before))]


def _rnn_layer(weights, layer, below, width, own, units, generation) -> list[Node]:
    x = Node(weights.linear(f"{layer}.i2h", width, units), [below])
    h = Node(weights.linear(f"{layer}.h2h", units, units), [own[0]])
    return [module("Tanh", module("CAddTable", x, h))]


def grid_lstm(size: int, units: int, layers: int, *, tied=False, dropout=0.0, seed=0):
    """A graph of grid-lstm, with its annotations, which name the wrong states; and the weights."""
    weights = Weights(seed)
    given, begin = inputs(2 + 2 * layers)
    memory, below = given[0], Node(weights.lookup("embedding", size, units), [given[1]])
    shared = None
    outputs: list[Node] = []
    for layer in range(layers):
        before_c, before_h = given[2 + 2 * layer : 4 + 2 * layer]
        if layer:
            below = _dropped(below, dropout)

        def linear(name: str, node: Node, annotation: str, layer=layer) -> Node:
            made = weights.linear(f"{layer}.{name}", units, 4 * units)
            return Node(made, [node]).named(f"{annotation}_{layer + 1}")

        t_h, t_d = linear("time.h", before_h, "i2h"), linear("time.d", below, "h2h")
        gates = lstm_gates(module("CAddTable", t_h, t_d), units, "reshape")
        new_c, new_h = lstm_update(gates, before_c)
        outputs += [new_c, new_h]
        d_h, d_d = linear("depth.h", new_h, "i2h"), linear("depth.d", below, "h2h")
        if tied:
            shared = shared or (d_h.data["module"], d_d.data["module"])
            for node, first in zip((d_h, d_d), shared, strict=True):
                _share(node.data["module"], first)
        gates = lstm_gates(module("CAddTable", d_h, d_d), units, "reshape")
        memory, below = lstm_update(gates, memory)
    decoder = Node(weights.linear("decoder", units, size), [_dropped(below, dropout)])
    outputs.append(module("LogSoftMax", decoder.named("decoder")))
    return graph(given, begin, outputs), weights


def _share(module: Object, first: Object) -> None:
    """As module:share(): other tensors, the same storages."""
    for name in ("weight", "bias"):
        own = first.fields[name]
        module.fields[name] = Tensor(own.storage, own.shape, own.offset, own.kind)


def checkpoint(graph: Object, signs: list, **fields) -> dict:
    """The table that char-rnn's train.lua saves."""
    vocabulary = {sign: index for index, sign in enumerate(signs, 1)}
    return {"protos": {"rnn": graph}, "vocab": vocabulary, "opt": {"rnn_size": 3}, **fields}
