"""What is wrong with a file of another program."""

from gridlstm.errors import UserError


class ForeignModelError(UserError):
    """A model that is none of ours; the message is one sentence for the user.

    What it quotes of a file is made fit to be printed: on one line, without control characters.
    """

    def __init__(self, message: str) -> None:
        super().__init__(
            "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in message)
        )


class DamagedFileError(ForeignModelError):
    """A file that ends too soon, contradicts itself or claims more than it can hold."""
