"""What a user can get wrong."""


class UserError(ValueError):
    """Something about a file, a text or a setting that the user can mend.

    The message is one sentence in plain words, fit to be shown as it is.
    """
