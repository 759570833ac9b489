"""The answer in figures: written low, carried up, used?"""

import numpy as np
import streamlit as st

from dashboard import words
from dashboard.screens.property import Target
from gridlstm.analysis.carried_up import CarriedUp, Figure
from gridlstm.curves import convert


def show_answer(found: CarriedUp, target: Target) -> None:
    """Yes or no, and the three figures that say so."""
    title = words.verbatim(target.title)
    parts = [
        ("written low", found.is_written_low),
        ("carried up", found.is_carried),
        ("used from there", found.is_used),
    ]
    if found.holds:
        st.success(f"**{title}: yes.** It is written low, carried up and used from there.")
    else:
        fails = " and ".join(f"not {name}" for name, holds in parts if not holds)
        st.info(f"**{title}: no, not here.** By these measures it is {fails}.")
    low = "Layer 1" if found.lowest == 1 else f"Layers 1 to {found.lowest}"
    judged, others = found.judged, found.random_survived
    columns = st.columns(3)
    with columns[0].container(border=True, height="stretch"):
        st.metric(
            f"{low} wrote",
            f"{found.written_low.value:.0%}",
            help="Their part of what sets the inside of the property apart from the outside, along "
            "the direction, in the top memory. Yes if it is more than half, for sure within the "
            "95 % interval.",
        )
        st.caption(f"{_interval(found.written_low, '.0%')} Written low: {_yes(parts[0][1])}.")
    with columns[1].container(border=True, height="stretch"):
        st.metric(
            "Of that arrives",
            f"{found.survived.value:.0%}",
            help="How much of what these layers wrote along the direction is still there at the "
            "top, after all forget gates (slope of a straight line through the characters inside). "
            "Yes if it is more than half, and more than along 95 % of random directions.",
        )
        st.caption(
            f"{_interval(found.survived, '.0%')} Along random directions {others.mean():.0%} in "
            f"the mean, {np.quantile(others, 0.95):.0%} at the 95 % quantile. Carried up: "
            f"{_yes(parts[1][1])}."
        )
    rise = found.rise
    with columns[2].container(border=True, height="stretch"):
        st.metric(
            "Without it, bits",
            f"{convert(rise.value, 'bits'):+.4f}",
            help="How much the surprise rises, in bits per character inside the property, when "
            "what the lowest layers wrote is taken out of the top memory along this direction "
            "alone. Yes if it is more than with any random direction, and more than 0 within the "
            "95 % interval. Layers above may read the memory on its way up: that is not touched.",
        )
        bits = Figure(*(convert(x, "bits") for x in (rise.value, rise.low, rise.high)))
        st.caption(f"{_interval(bits, '+.4f')} Used: {_yes(parts[2][1])}.")
    st.caption(
        f"The direction itself tells the property with an AUC of **{judged['held_out']:.3f}** on "
        f"the part it was not found on; what the lowest layers wrote alone with "
        f"{found.auc_low:.3f}, what all others wrote with {found.auc_high:.3f}.",
        help="AUC: the chance that a character inside has the higher value of a pair of one inside "
        "and one outside; 0.5 is chance. That a memory tells a property does not show that the "
        "model uses it.",
    )
    whole, others_whole = found.rises("whole").max(), found.rises("random whole").max()
    st.caption(
        "All that is along the direction taken out, whoever wrote it, costs "
        f"{convert(whole, 'bits'):+.4f} bits inside; the same of any random direction at most "
        f"{convert(others_whole, 'bits'):+.4f}.",
        help="Whether the model uses the direction at all: here all counts that any layer wrote.",
    )
    if found.split.missing_interval_reason:
        st.caption(found.split.missing_interval_reason)
    if not target.is_mark:
        st.caption("This property is a number: inside means above its median.")


def _interval(figure: Figure, layout: str) -> str:
    if np.isnan(figure.low):
        return "Too few spans for a 95 % interval."
    return f"95 % interval {figure.low:{layout}} to {figure.high:{layout}}."


def _yes(holds: bool) -> str:
    return "**yes**" if holds else "**no**"
