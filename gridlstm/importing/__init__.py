"""Models of other programs, made models of ours. Nothing in a file of theirs is executed.

`read_model` recognises files and reads them as one `ForeignModel`; `model_from_arrays` makes one of
named arrays, of any program whose conventions are told. One format a file: `torch_files` and
`pickles` with `pytorch`, `torch7` with `torch7_graph` and `torch7_models`, `bundles` and `ml5` with
`tensorflow`, `hdf5` with `keras` and `keras_layers`, `tfjs`.
"""

from gridlstm.importing.arrays import LayerArrays, model_from_arrays
from gridlstm.importing.conversion import to_model
from gridlstm.importing.errors import DamagedFileError, ForeignModelError
from gridlstm.importing.foreign_model import (
    CellWeights,
    ForeignModel,
    Layer,
    LossHistory,
    Question,
)
from gridlstm.importing.reading import read_model
from gridlstm.importing.torch_module import import_torch, save_model

__all__ = [
    "CellWeights",
    "DamagedFileError",
    "ForeignModel",
    "ForeignModelError",
    "Layer",
    "LayerArrays",
    "LossHistory",
    "Question",
    "import_torch",
    "model_from_arrays",
    "read_model",
    "save_model",
    "to_model",
]
