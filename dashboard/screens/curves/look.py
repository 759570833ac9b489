"""How the curves are drawn: against what, in which unit, how smooth, and with what besides.

Every widget is bound to the address bar. One that is not always there stands in a container of its
own: were the widgets after it to move, their binding to the address would be lost.
"""

from dataclasses import dataclass

import streamlit as st

from dashboard.screens.curves.charts import Look
from dashboard.screens.curves.runs import CurveRun
from dashboard.screens.curves.styles import COLOURS
from gridlstm.curves import UNITS, is_loss

AXES = {
    "update": "Updates",
    "epoch": "Epochs",
    "bytes": "Bytes read",
    "seconds": "Wall time",
    "operations": "Operations",
}
QUANTITY_LABELS = {"validation": "Loss", "accuracy": "Answers right", "digits": "Digits right"}
BITS_HELP = (
    "How many yes-or-no questions the model needs, on average, to find out the next byte of a "
    "text it has not been trained on. A byte has 8 bits, so 8 is knowing nothing, and 0 would be "
    "knowing every byte beforehand. **Nats** are the same in natural logarithms: 1 bit is 0.693 "
    "nats."
)
# By key: label, whether it is on at first, and what it does.
SWITCHES = {
    "log_x": ("Log x", False, "Equal distances are equal ratios: early updates get room."),
    "log_y": ("Log y", False, "Equal distances are equal ratios of the loss."),
    "training": (
        "Training loss",
        False,
        "The mean loss since the point before, on the text being learned, with dropout switched "
        "on: because of that it can lie above the validation loss.",
    ),
    "mean": (
        "Seeds as one",
        True,
        "Runs that differ in nothing but their seed are drawn as one line, their mean, in a band "
        "from the lowest to the highest of them. Off, every run is a line.",
    ),
    "goal": (
        "Baseline's best",
        True,
        "A level line: the lowest loss of the baseline chosen below, that of its best seed if it "
        "has several. Where a curve meets it, that run has reached the baseline.",
    ),
    "entropy": (
        "Single-byte entropy",
        False,
        "A level line: the loss of a model that knows only how frequent each byte is, computed on "
        "the validation part of the same data.",
    ),
    "published": (
        "Published curves",
        False,
        "The four curves of the original experiment (coreylynch, grid-lstm), read off its picture. "
        "They were measured on other data.",
    ),
}


@dataclass(frozen=True)
class Drawing:
    """How the picture is drawn: its look, which of `COLOURS` the colours stand for, whether runs
    that differ in their seed alone are one line, and what is drawn besides them."""

    look: Look
    colour_by: str
    seeds_as_one: bool
    baselines_best: bool
    byte_entropy: bool
    published: bool


def choose_drawing(runs: list[CurveRun], above, below) -> Drawing:
    """`above` and `below` are the containers for the widgets above and below the picture."""
    with above:
        axis, unit, colour_by, smoothing = _choose_scales()
        quantity = _choose_quantity(runs)
    with below, st.container(horizontal=True, gap="small"):
        on = {
            key: st.toggle(label, value, help=meaning, key=key, bind="query-params")
            for key, (label, value, meaning) in SWITCHES.items()
        }
    return Drawing(
        Look(axis, quantity, unit, smoothing, on["log_x"], on["log_y"], on["training"]),
        colour_by,
        seeds_as_one=on["mean"],
        baselines_best=on["goal"],
        byte_entropy=on["entropy"],
        published=on["published"] and is_loss(quantity),
    )


def _choose_scales() -> tuple[str, str, str, float]:
    """The axis, the unit of losses, what gives a line its colour, and the smoothing."""
    with st.container(horizontal=True, gap="medium"):
        axis = st.segmented_control(
            "Against",
            list(AXES),
            default="update",
            required=True,
            format_func=AXES.get,
            help="An **update** changes the weights once, after one batch. An **epoch** is one "
            "pass over the training data. **Wall time** is what the clock on the wall showed. "
            "**Operations**: floating-point operations of training, which are bytes read × "
            "multiply-adds of the weights for one byte × 2 × 3 (a multiplication and an addition; "
            "forward, and backward twice that).",
            key="against",
            bind="query-params",
        )
        unit = st.segmented_control(
            "Loss in",
            UNITS,
            default="bits",
            required=True,
            help=BITS_HELP,
            key="loss_in",
            bind="query-params",
        )
        colour_by = st.selectbox(
            "Colour by",
            list(COLOURS),
            format_func=COLOURS.get,
            help="Lines of one colour differ in their pattern.",
            key="colour_by",
            bind="query-params",
            width=170,
        )
        smoothing = st.slider(
            "Smoothing",
            0.0,
            0.99,
            0.0,
            0.01,
            help="Draws a moving average: the higher, the more the points before count (an "
            "exponential moving average, debiased). The line as logged stays, faint, and the "
            "pointer shows both values.",
            key="smoothing",
            bind="query-params",
            width=190,
        )
    return axis, unit, colour_by, smoothing


def _choose_quantity(runs: list[CurveRun]) -> str:
    """Loss, or a share of right answers where a run has one."""
    with st.container():
        offered = [
            quantity for quantity in QUANTITY_LABELS if any(run.has(quantity) for run in runs)
        ]
        if len(offered) < 2:
            return "validation"
        return st.segmented_control(
            "Show",
            offered,
            default="validation",
            required=True,
            format_func=QUANTITY_LABELS.get,
            help="**Answers right** is the share of test samples with every digit right, **digits "
            "right** that of single digits: of tasks that have answers. Runs without are not "
            "drawn.",
            key="shown",
            bind="query-params",
        )
