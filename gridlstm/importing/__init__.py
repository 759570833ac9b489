"""Models of other programs, made models of ours."""

from gridlstm.importing.torch_module import ForeignModelError, import_torch, save_model

__all__ = ["ForeignModelError", "import_torch", "save_model"]
