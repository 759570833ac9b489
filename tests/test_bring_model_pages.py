"""Models of other programs on every page: brought by a visitor, asked about, shown to be right."""

import pytest
from app_pages import checked, folder, go, plain, said, shipped, visit  # noqa: F401
from test_own_vocabularies import arrays_of, saved, text_of

from dashboard.screens import choices
from gridlstm.text import from_string

PAGES = ("cells", "gates", "find", "provenance", "switch_off", "write", "models", "curves")
TEXT = text_of(200) + "ÅX" + text_of(100)


def kinds() -> dict:
    """By name: characters of one to four bytes over an embedding; one-hot inputs more than units,
    through hard sigmoids; a GRU whose reset comes before."""
    return {
        "embedded": arrays_of("lstm", width=7),
        "one-hot": arrays_of("lstm", gates="hard_sigmoid"),
        "gru": arrays_of("gru", reset="before", width=3),
    }


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    place = tmp_path_factory.mktemp("own")
    for name, foreign in kinds().items():
        (place / name).mkdir()
        saved(foreign, place / name)
        next((place / name).glob("*.safetensors")).rename(place / f"{name}.safetensors")
    return place


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize("name", kinds())
def test_every_page_takes_it(visit, models, name, page, monkeypatch):  # noqa: F811
    monkeypatch.setattr(choices, "current_text", lambda: from_string(TEXT))
    app = visit(page, folder=models, model=name)
    assert not app.error, said(app)
    if page in ("cells", "gates"):
        assert any("are unknown to the model and skipped" in plain(c.value) for c in app.caption)


def test_it_writes_though_it_knows_nothing_of_the_text(visit, models, monkeypatch):  # noqa: F811
    monkeypatch.setattr(choices, "current_text", lambda: from_string("ЖЖЖЖ"))
    app = visit("write", folder=models, model="embedded")
    assert len(app.error) == 1 and "embedded" in app.error[0].value
    app.text_area(key="prime").set_value(text_of(20))
    app.number_input(key="written_length").set_value(5)
    next(button for button in app.button if button.label == "Write").click().run()
    assert not app.exception
    writing = app.session_state["writing"]
    while writing.going:
        writing.advance(0.1)
    assert writing.is_done and writing.data.startswith(text_of(20).encode())
    app.run()
    assert not app.exception and len(app.error) == 1
