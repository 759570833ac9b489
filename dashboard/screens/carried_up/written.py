"""The text, coloured by what the lowest layers and the others wrote along the direction."""

import numpy as np
import streamlit as st

from dashboard.coloured_text import cell_scale, coloured_text
from dashboard.screens.reading import Reading
from dashboard.serving.kept import kept
from gridlstm.analysis.carried_up import CarriedUp
from gridlstm.analysis.depth_provenance import direction_shares


def show_written(reading: Reading, found: CarriedUp) -> None:
    st.header(
        "Where it was written",
        anchor=False,
        help="At each character, what the lowest layers and the others wrote along the direction, "
        "as it arrives in the top memory. The two add up to what is there.",
    )
    shares = kept(
        "provenance",
        reading.entry.version,
        reading.text.data,
        lambda progress: direction_shares(reading.trace.values, found.direction, progress=progress),
        depends_on=("carried up", found.direction),
        label="Taking the memory apart …",
    )[:, reading.positions]
    low, rest = shares[: found.lowest].sum(axis=0), shares[found.lowest :].sum(axis=0)
    values = np.stack([low, rest, low + rest])
    coloured_text(
        reading.text.characters,
        values,
        rows=["written by the lowest layers", "written by the others", "the memory (sum)"],
        chosen_row=2,
        scale=cell_scale("along the direction", max(1e-6, float(np.abs(values).max()))),
        title=f"{reading.entry.title} · {found.direction.name}",
        key="carried",
        height=300,
        strips="Who wrote it",
    )
