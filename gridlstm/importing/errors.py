"""What is wrong with a file of another program."""

from gridlstm.errors import UserError


class ForeignModelError(UserError):
    """A model that is none of ours; the message is one sentence for the user."""


class DamagedFileError(ForeignModelError):
    """A file that ends too soon, contradicts itself or claims more than it can hold."""
