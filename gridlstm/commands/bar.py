"""The bar on standard error that commands show for what takes longer than a moment."""

import contextlib
from collections.abc import Iterator

from gridlstm.progress import Progress

LAYOUT = "{desc}: {percentage:3.0f}% |{bar}| {elapsed} < {remaining}"


@contextlib.contextmanager
def progress_bar(what: str) -> Iterator[Progress]:
    """The function that moves the bar. Where standard error is no terminal there is none."""
    from tqdm import tqdm

    with tqdm(desc=what, total=1.0, bar_format=LAYOUT, delay=0.5, leave=False, disable=None) as bar:

        def show(share: float) -> None:
            bar.update(share - bar.n)

        yield show
