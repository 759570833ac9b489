"""What a layer of a model computes, an equation for every quantity that the pages show."""

import pandas as pd
import streamlit as st

from dashboard import words
from gridlstm.config import ModelConfig
from gridlstm.equations import Equations, equations

SHARED = {
    "all": "All layers have the same weights $W$ and biases $b$.",
    "depth": "All layers have the same weights $W^d$ and biases $b^d$, each has its own $W^t$ and "
    "$b^t$.",
}


def show_layer_equations(config: ModelConfig, token: str) -> None:
    """The equations by the names that the pages use, of a model that reads and writes tokens called
    so; nothing where they are not written down."""
    found = equations(config)
    if found is None:
        return
    st.markdown("**What a layer computes**")
    st.caption(_reading_help(config, found))
    st.table(_as_table(config, found, token))


def _reading_help(config: ModelConfig, found: Equations) -> str:
    """How the equations are to be read, Markdown."""
    sentences = [
        "For layer $l$ at character $t$, which are left out: $x_{l-1}$ is of the layer below at "
        "the same character, $x_{t-1}$ of the same layer at the character before. $[a; b]$ is both "
        r"in a row, $\sigma$ a squashing into 0 to 1 and $\tanh$ one into -1 to 1, $\odot$ a "
        "product unit by unit."
    ]
    if config.tie:
        sentences.append("What is marked $t$ belongs to time, $d$ to depth.")
    if found.layer.get("depth.cell", "").startswith("m"):
        sentences.append("A depth memory is written $m$, its hidden state $d$.")
    sentences.append(SHARED.get(config.tie, "Each layer has its own weights $W$ and biases $b$."))
    return " ".join(sentences)


def _as_table(config: ModelConfig, found: Equations, token: str) -> pd.DataFrame:
    rows = {
        f"Below the first layer ($e$: the {token} as numbers)": found.first,
        **{words.QUANTITIES[quantity].label: latex for quantity, latex in found.layer.items()},
        f"Chances of the next {token} ($L = {config.layers}$: the top)": found.guess,
    }
    return pd.DataFrame(
        {"Quantity": list(rows), "How it is computed": [f"${latex}$" for latex in rows.values()]}
    ).set_index("Quantity")
