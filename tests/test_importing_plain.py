"""What is taken gives what the modules themselves do; all else is refused, whatever was done to it.

Each change below is one that real programs make: weight dropping, pruning, norms, hooks, casts.
"""

import copy
import pickle

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from test_importing import LETTERS, TEXT, UNITS, modules, probabilities
from torch import nn
from torch.nn.utils import parametrizations, parametrize, prune, spectral_norm, weight_norm

from gridlstm.importing import ForeignModelError, import_torch
from gridlstm.trace import trace

pytestmark = pytest.mark.filterwarnings("ignore")
KINDS = (nn.LSTM, nn.GRU, nn.RNN)
WEIGHT = "weight_hh_l0"


class OwnForward(nn.Linear):
    def forward(self, read):
        return super().forward(read).flip(-1)


class OwnLayers(nn.LSTM):
    def forward(self, read, state=None):
        top, state = super().forward(read, state)
        return top + 0.1, state


def changed(part, change):
    """The modules with `change` made to one of them: 0 embedding, 1 recurrent, 2 decoder."""

    def make(parts):
        parts = list(parts)
        made = change(parts[part])
        parts[part] = parts[part] if made is None else made
        return parts

    return make


def as_class(kind):
    def change(module):
        module.__class__ = kind

    return change


def pruned(module, name=WEIGHT):
    prune.l1_unstructured(module, name, 0.5)


def made_permanent(module):
    pruned(module)
    prune.remove(module, WEIGHT)


def norm_taken_off(module):
    parametrizations.weight_norm(module, WEIGHT)
    parametrize.remove_parametrizations(module, WEIGHT)


def weight_dropped(module):
    """As weight-dropping programs leave it: the parameter is renamed, and set before each pass."""
    raw = module._parameters.pop(WEIGHT)
    module.register_parameter(f"{WEIGHT}_raw", raw)
    setattr(module, WEIGHT, raw.detach() * 2)


def loaded_after_norm(module):
    """The attribute is stale until a pass."""
    weight_norm(module, WEIGHT)
    state = {name: tensor + 1 for name, tensor in module.state_dict().items()}
    module.load_state_dict(state)


def with_buffer(module):
    module.register_buffer("scale", torch.ones(1))


def with_module(module):
    module.more = nn.Linear(1, 1)


def with_forward(module):
    own = module.forward
    module.forward = lambda *read: own(*(2 * given for given in read))


def without_bias(module):
    del module.bias_hh_l0


def bias_no_parameter(module):
    bias = module.bias.detach()
    del module.bias
    module.bias = bias + 1


def with_value(value):
    def change(module):
        with torch.no_grad():
            module.weight_hh_l0[0, 0] = value

    return change


def of_another_shape(module):
    module._parameters[WEIGHT] = nn.Parameter(module.weight_hh_l0[:, :-1].detach())


def tied_layers(module):
    module.weight_hh_l1 = module.weight_hh_l0


def put_in_place(module):
    module._parameters[WEIGHT] = nn.Parameter(module.weight_hh_l0.detach() * 2)


def assigned(module):
    state = {name: tensor * 2 for name, tensor in module.state_dict().items()}
    module.load_state_dict(state, assign=True)


def lazy(module):
    fresh = nn.LazyLinear(len(LETTERS))
    fresh(torch.zeros(1, UNITS))
    return fresh


def weights_tied(parts):
    embedding = nn.Embedding(len(LETTERS), UNITS)
    recurrent = type(parts[1])(UNITS, UNITS, 2)
    decoder = nn.Linear(UNITS, len(LETTERS))
    decoder.weight = embedding.weight
    return embedding, recurrent, decoder


def cast(dtype):
    return lambda parts: [part.to(dtype) for part in parts]


TAKEN = {
    "as it is": lambda parts: parts,
    "copied": copy.deepcopy,
    "pickled": lambda parts: pickle.loads(pickle.dumps(parts)),
    "evaluated": lambda parts: [part.eval() for part in parts],
    "frozen": lambda parts: [part.requires_grad_(False) for part in parts],
    "in double": cast(torch.float64),
    "in half": cast(torch.float16),
    "in bfloat16": cast(torch.bfloat16),
    "shares weights between layers": changed(1, tied_layers),
    "shares the embedding with the decoder": weights_tied,
    "another parameter put in its place": changed(1, put_in_place),
    "state assigned": changed(1, assigned),
    "flattened": changed(1, lambda module: module.flatten_parameters()),
    "pruned for good": changed(1, made_permanent),
    "norm taken off": changed(1, norm_taken_off),
    "compiled in place": changed(1, lambda module: module.compile(backend="eager")),
    "backward hook": changed(2, lambda m: m.register_full_backward_hook(print) and None),
    "once lazy": changed(2, lazy),
    "decoder without bias": changed(2, lambda m: m.register_parameter("bias", None)),
}
REFUSED = {
    "subclass of LSTM": (changed(1, as_class(OwnLayers)), "not a test_importing_plain.OwnLayers"),
    "subclass of Linear": (changed(2, as_class(OwnForward)), "OwnForward"),
    "parametrized": (
        changed(1, lambda m: parametrizations.weight_norm(m, WEIGHT)),
        "not a torch.nn.utils.parametrize.Parametrized",
    ),
    "orthogonal": (changed(2, parametrizations.orthogonal), "ParametrizedLinear"),
    "weight_norm": (changed(1, lambda m: weight_norm(m, WEIGHT)), "module has hooks"),
    "weight_norm, loaded": (changed(1, loaded_after_norm), "module has hooks"),
    "spectral_norm": (changed(2, spectral_norm), "decoder has hooks"),
    "pruned": (changed(1, pruned), "module has hooks"),
    "pruned embedding": (changed(0, lambda m: pruned(m, "weight")), "embedding has hooks"),
    "hook": (
        changed(1, lambda m: m.register_forward_hook(lambda *_: (_[2][0] * 2, _[2][1])) and None),
        "module has hooks",
    ),
    "hook before": (
        changed(2, lambda m: m.register_forward_pre_hook(lambda _, read: (2 * read[0],)) and None),
        "decoder has hooks",
    ),
    "forward of its own": (changed(2, with_forward), "decoder has a forward of its own"),
    "compiled": (changed(1, torch.compile), "not a torch._dynamo.eval_frame.OptimizedModule"),
    "scripted": (changed(2, torch.jit.script), "not a torch.jit"),
    "parallel": (changed(1, nn.DataParallel), "DataParallel"),
    "not yet": (changed(2, lambda _: nn.LazyLinear(9)), "LazyLinear"),
    "weight dropped": (changed(1, weight_dropped), "has a weight_hh_l0_raw, which its kind"),
    "buffer": (changed(1, with_buffer), "has a scale, which its kind"),
    "module": (changed(0, with_module), "has a more, which its kind"),
    "one bias gone": (changed(1, without_bias), "has no parameter bias_hh_l0"),
    "bias no parameter": (changed(2, bias_no_parameter), "decoder has no parameter bias"),
    "not a number": (changed(1, with_value(torch.nan)), "values that are not finite"),
    "endless": (changed(1, with_value(-torch.inf)), "values that are not finite"),
    "too large for float32": (
        lambda parts: changed(1, with_value(1e300))(cast(torch.float64)(parts)),
        "values that are not finite",
    ),
    "another shape": (changed(1, of_another_shape), "it should be"),
    "without values": (lambda parts: [part.to("meta") for part in parts], "no values yet"),
    "complex": (changed(2, lambda m: m.to(torch.complex64)), "not of plain float numbers"),
    "more layers said": (changed(1, lambda m: setattr(m, "num_layers", 3)), "no parameter"),
    "fewer layers said": (changed(1, lambda m: setattr(m, "num_layers", 1)), "has a weight_ih_l1"),
    "more units said": (changed(0, lambda m: setattr(m, "embedding_dim", 4)), "they should be 4"),
}


def own_chances(parts) -> np.ndarray:
    """What the modules themselves compute, in single precision at least."""
    if any(p.dtype in (torch.float16, torch.bfloat16) for part in parts for p in part.parameters()):
        parts = [copy.deepcopy(part).float() for part in parts]
    for part in parts:
        part.eval()
    return probabilities(*parts, LETTERS, TEXT).float().numpy()


def imported_chances(parts) -> np.ndarray:
    found = trace(import_torch(*parts, LETTERS), TEXT.encode()).next_token
    return found[:, list(LETTERS.encode())]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("change", TAKEN)
def test_what_computes_the_same_is_taken(kind, change):
    parts = TAKEN[change](modules(kind))
    found = imported_chances(parts)
    np.testing.assert_allclose(found, own_chances(parts), atol=6e-4)  # float16


@pytest.mark.parametrize("change", REFUSED)
def test_what_may_compute_otherwise_is_refused(change):
    make, told = REFUSED[change]
    with pytest.raises(ForeignModelError, match=told) as refusal:
        import_torch(*make(modules()), LETTERS)
    message = str(refusal.value)
    assert message[0].isupper() and message.endswith(".") and "\n" not in message


@pytest.mark.parametrize("part", ["LSTM", "Linear"])
def test_a_quantized_module_is_refused_in_one_sentence(part):
    embedding, recurrent, decoder = modules()
    net = nn.Sequential(recurrent, decoder)
    net = torch.ao.quantization.quantize_dynamic(net, {getattr(nn, part)})
    with pytest.raises(ForeignModelError, match=r"not a torch\.ao\.nn\.quantized.*\.$"):
        import_torch(embedding, *net, LETTERS)


CHANGES = {**TAKEN, **{name: make for name, (make, _) in REFUSED.items()}}
# Those that wrap or compile take seconds, and are refused by their class alone.
CHEAP = sorted(CHANGES.keys() - {"compiled", "compiled in place", "scripted", "parallel"})


@settings(max_examples=80, deadline=None)
@given(
    kind=st.sampled_from(KINDS),
    layers=st.integers(2, 3),
    numbers=st.integers(1, UNITS + 3),
    bias=st.booleans(),
    changes=st.lists(st.sampled_from(CHEAP), min_size=1, max_size=3),
)
def test_what_is_taken_gives_what_the_modules_do(kind, layers, numbers, bias, changes):
    """Whatever was done to modules of any kind, one thing after the other."""
    parts = modules(kind, layers, numbers, bias=bias)
    for change in changes:
        try:
            parts = CHANGES[change](parts)
        except Exception:  # it cannot be done to such modules, or after the one before
            return
    try:
        found = imported_chances(parts)
    except ForeignModelError:
        return
    np.testing.assert_allclose(found, own_chances(parts), atol=6e-4)
