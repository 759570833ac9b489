"""Digit-by-digit addition, the task of section 4.2 of the Grid LSTM paper. Knows no torch.

A sample of two N-digit numbers, here 123 + 899, is read and answered byte by byte:

    read     1 2 3 + 8 9 9 = - - - -
    predict  . . . . . . . 1 0 2 2 end      (. is not counted; the end is a line feed)

All numbers are written from their first digit on, with leading zeros: the operands in N digits, the
sum in N + 1, so that every digit has one place. As in the paper what has been answered is not read
again: a carry that is needed later must be remembered.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2b

import numpy as np

from gridlstm.array_types import BoolArray, IntArray
from gridlstm.errors import UserError

MAX_DIGITS = 100
MAX_SUM_BYTES = 1000
PLUS, EQUALS, PADDING, END = b"+", b"=", b"-", b"\n"
# Of the samples that a validation is measured on. The same for all runs, so that they compare.
VALIDATION_SEED = 0
VALIDATION_SAMPLES = 1000
# Of the samples on which the accuracy of a finished model is measured again: of long sums fewer
# are read than of short ones, so that the work does not grow with what a file says of itself.
MAX_BYTES_MEASURED = 50_000
# Digits of numbers of which all pairs are so few that they are gone through.
MAX_LISTED_DIGITS = 2
MAX_DRAWS = 1000


class AdditionError(UserError):
    """Sums that cannot be; the message is one sentence for the user."""


@dataclass(frozen=True)
class Layout:
    """How a sum of two numbers of `digits` digits lies in a sequence of `length` bytes.

    Padding in front fills a sequence that is longer than it need be. Raises AdditionError where
    the sum does not fit.
    """

    digits: int
    length: int

    def __post_init__(self) -> None:
        if not 1 <= self.digits <= MAX_DIGITS:
            raise AdditionError(f"The number of digits must be from 1 to {MAX_DIGITS}.")
        needed = shortest_length(self.digits)
        if not needed <= self.length <= MAX_SUM_BYTES:
            plural = "s" if self.digits > 1 else ""
            raise AdditionError(
                f"A sum of numbers of {self.digits} digit{plural} needs a sequence of {needed} to "
                f"{MAX_SUM_BYTES:,} bytes, not {self.length:,}."
            )

    @property
    def answered(self) -> int:
        """How many bytes are predicted: the digits of the sum and the end."""
        return self.digits + 2

    def samples_within(self, samples: int, total: int) -> int:
        """How many samples to read of the layout: `samples`, or so many that they have `total`
        bytes together, but at least one."""
        return max(1, min(samples, total // self.length))

    @property
    def front(self) -> int:
        """How many bytes of padding stand before the first number."""
        return self.length - shortest_length(self.digits)

    def question(self, first: int, second: int) -> bytes:
        """What is read [length] for a sum of two numbers from 0 to 10^digits - 1."""
        operands = np.array([[_digits(number, self.digits) for number in (first, second)]])
        return self.lay_out(operands)[0][:, 0].astype(np.uint8).tobytes()

    def lay_out(self, operands: IntArray) -> tuple[IntArray, IntArray]:
        """Bytes read and bytes to predict, int64 [position, sample], for operands
        [sample, 2, digit], first digits first. What is predicted before the sum is not counted."""
        samples = len(operands)
        inputs = np.full((samples, self.length), PADDING[0], dtype=np.int64)
        target = inputs.copy()
        sums, _ = add(operands)
        at = self.front
        for number, sign in zip(operands.swapaxes(0, 1), (PLUS, EQUALS), strict=True):
            inputs[:, at : at + self.digits] = number + ord("0")
            inputs[:, at + self.digits] = sign[0]
            at += self.digits + 1
        target[:, -self.answered : -1] = sums + ord("0")
        target[:, -1] = END[0]
        return inputs.T, target.T


def shortest_length(digits: int) -> int:
    """The bytes that are read of a sum without padding in front: a+b= and N + 1 of padding."""
    return 3 * digits + 3


def layout_of(training: Mapping[str, object]) -> Layout | None:
    """The layout that a checkpoint's training settings tell of; None if it is of another task."""
    digits, length = training.get("digits"), training.get("length")
    if training.get("task") != "addition" or type(digits) is not int or type(length) is not int:
        return None
    try:
        return Layout(digits, length)
    except AdditionError:
        return None


def add(operands: IntArray) -> tuple[IntArray, BoolArray]:
    """Sums [sample, digit + 1] of operands [sample, 2, digit], digit by digit as one learns it at
    school, and the carries bool [sample, digit + 1]: whether 1 is carried into that digit."""
    samples, _, digits = operands.shape
    sums = np.zeros((samples, digits + 1), dtype=np.int64)
    carries = np.zeros((samples, digits + 1), dtype=bool)
    sums[:, 1:] = operands.sum(axis=1)
    for place in range(digits, 0, -1):
        sums[:, place] += carries[:, place]
        carries[:, place - 1] = sums[:, place] > 9
        sums[:, place] %= 10
    sums[:, 0] = carries[:, 0]
    return sums, carries


def carries_of(first: int, second: int, digits: int) -> BoolArray:
    """Whether 1 is carried into each digit of the sum, bool [digits + 1], first digit first."""
    _, carries = add(np.array([[_digits(number, digits) for number in (first, second)]]))
    carried: BoolArray = carries[0]
    return carried


def _digits(number: int, digits: int) -> list[int]:
    """The digits of a number, with leading zeros. Raises AdditionError if there are more."""
    if not 0 <= number < 10**digits:
        raise AdditionError(f"A number must have at most {digits} digits.")
    return [int(digit) for digit in f"{number:0{digits}}"]


# -- Drawn from a seed ----------------------------------------------------------------------------


@dataclass(frozen=True)
class Sums:
    """Pairs of numbers drawn evenly from all of `layout`'s, and parted for good.

    A number that is made of the pair's digits alone says whether it is one of the share
    `train_fraction` to train on or one of the others, to validate on: no pair is both.
    """

    layout: Layout
    train_fraction: float

    def training(self, seed: int, update: int, samples: int) -> IntArray:
        """The operands [sample, 2, digit] of an update, always the same for its number.

        Raises AdditionError if hardly any pair is there to train on.
        """
        return self._draw(np.random.default_rng((seed, update)), samples, training=True)

    def validation(self, samples: int = VALIDATION_SAMPLES) -> IntArray:
        """Operands [sample, 2, digit] to validate on, always the same.

        Of numbers of one or two digits no pair is there twice, so there may be fewer than
        `samples`. Raises AdditionError if hardly any pair is there to validate on.
        """
        generator = np.random.default_rng(VALIDATION_SEED)
        if self.layout.digits > MAX_LISTED_DIGITS:
            return self._draw(generator, samples, training=False)
        every = np.stack(
            np.unravel_index(
                generator.permutation(100**self.layout.digits), (10,) * (2 * self.layout.digits)
            ),
            axis=-1,
        ).reshape(-1, 2, self.layout.digits)
        found = every[~self.is_for_training(every)][:samples]
        if not len(found):
            raise self._too_few(training=False)
        return found

    def is_for_training(self, operands: IntArray) -> BoolArray:
        """Whether pairs [sample, 2, digit] are to be trained on, bool [sample]."""
        rows = operands.astype(np.uint8)
        parts = [int.from_bytes(blake2b(row.tobytes(), digest_size=8).digest()) for row in rows]
        return np.array(parts, dtype=np.uint64) < self.train_fraction * 2.0**64

    def _draw(self, generator: np.random.Generator, samples: int, training: bool) -> IntArray:
        found: list[IntArray] = []
        missing = samples
        for _ in range(MAX_DRAWS):
            drawn = generator.integers(0, 10, (samples, 2, self.layout.digits))
            right = drawn[self.is_for_training(drawn) == training][:missing]
            found.append(right)
            missing -= len(right)
            if not missing:
                return np.concatenate(found)
        raise self._too_few(training)

    def _too_few(self, training: bool) -> AdditionError:
        plural = "s" if self.layout.digits > 1 else ""
        return AdditionError(
            f"At --train-fraction {self.train_fraction} too few pairs of numbers of "
            f"{self.layout.digits} digit{plural} are left to "
            f"{'train' if training else 'validate'} on."
        )
