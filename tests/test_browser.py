"""The real app in a real browser, used as a visitor would."""

import re
from urllib.parse import parse_qs, urlsplit

import app_checkpoints
import pytest
import torch
from accessibility import faults
from app_checkpoints import ROOT, STACKED
from playwright.sync_api import expect
from test_import_command import CharRNN
from test_own_vocabularies import SIGNS, text_of

from gridlstm.analysis.selection import SelectionError, similar_places, units_on
from gridlstm.checkpoint import load_model
from gridlstm.text import from_string
from gridlstm.trace import trace

pytestmark = pytest.mark.browser
ROW_HEIGHT = 35  # of a table, in pixels
PATIENCE = 60_000  # milliseconds; the machine may be busy with a training run

TEXT = "A note that no one has seen:\nsee http://www.example.net/path?q=42 today.\n"
MARKUP = (
    "<script>window.harmed = 1</script> <img src=x onerror='window.harmed = 1'> <b>bold</b> "
    "![picture](http://tracker.example/a.png) [link](javascript:window.harmed=1)"
)
PICTURE = "![m](http://tracker.example/m.png)"
SHORT_PICTURE = "![m](//tracker.example/m)"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return app_checkpoints.good_folder(tmp_path_factory.mktemp("checkpoints"))


@pytest.fixture(scope="module")
def browser():
    with app_checkpoints.launched() as browser:
        yield browser


@pytest.fixture(scope="module")
def address(browser, folder):
    with app_checkpoints.serving(
        ROOT / "dashboard" / "app.py", ROOT, GRIDLSTM_CHECKPOINTS=str(folder)
    ) as address:
        yield address


@pytest.fixture(scope="module")
def address_of_shipped(browser):
    """The same with the models that the program comes with."""
    folder = str(ROOT / "checkpoints")
    with app_checkpoints.serving(
        ROOT / "dashboard" / "app.py", ROOT, GRIDLSTM_CHECKPOINTS=folder
    ) as address:
        yield address


@pytest.fixture
def window(browser, address):
    """A function that opens a path of the app as a new visitor, after running a script.

    No window may ask another host for anything, open a dialog, or report an error.
    """
    contexts, problems, hosts = [], [], []

    def opened(path="", at=address, script="", theme="light"):
        hosts.append(at)
        context = browser.new_context(
            viewport={"width": 1440, "height": 1200}, color_scheme=theme, base_url=at
        )
        contexts.append(context)
        context.set_default_timeout(PATIENCE)
        page = context.new_page()
        page.add_init_script(script)
        page.on("request", note_foreign)
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("dialog", lambda dialog: (problems.append(dialog.message), dialog.dismiss()))
        page.on("console", note_error)
        page.goto(f"/{path}")
        return page

    def note_foreign(request):
        parts = urlsplit(request.url)
        if parts.scheme not in ("data", "blob") and f"{parts.scheme}://{parts.netloc}" not in hosts:
            problems.append(request.url)

    def note_error(message):
        # Streamlit looks for itself under a page's own address first.
        if message.type == "error" and "/_stcore/" not in message.location["url"]:
            problems.append(f"{message.text} {message.location['url']}")

    yield opened
    for context in contexts:
        context.close()
    assert problems == []


def heading(page, title: str) -> None:
    """Wait for the page of that title to be there and its script at rest."""
    page.get_by_role("heading", level=1, name=title, exact=True).wait_for()
    rest(page)


OTHER_PAGES = (
    "Forget gates",
    "Find a cell",
    "Who wrote it",
    "Switch off",
    "Let it write",
    "Curves",
    "Models",
)


def rest(page) -> None:
    """Wait for the script to have ended and the browser to have drawn what came of it."""
    page.wait_for_function(
        """() => !document.querySelector('[data-testid=stStatusWidget], [data-stale=true]')
          && document.querySelector('[data-test-script-state=notRunning]')"""
    )
    page.evaluate("() => new Promise(drawn => requestIdleCallback(drawn, {timeout: 2000}))")


def go(page, name: str, title: str | None = None) -> None:
    page.get_by_test_id("stSidebarNav").get_by_text(name, exact=True).click()
    heading(page, title or name)


def eventually(page, clamps, seconds: float = 30) -> None:
    """Wait until `clamps()`: at rest, the script has ended, but not all is drawn yet."""
    for _ in range(int(seconds * 10)):
        if clamps():
            return
        page.wait_for_timeout(100)
    assert clamps()


def named_in_address(page, **wanted: str | None) -> None:
    """Wait until the address names these choices."""

    def has(url: str) -> bool:
        query = parse_qs(urlsplit(url).query)
        return all(query.get(key, [None])[0] == value for key, value in wanted.items())

    page.wait_for_url(has)
    rest(page)


def choose(page, label: str, option: str, place: int = 0) -> None:
    page.get_by_role("combobox", name=label).nth(place).click()
    page.get_by_role("option", name=option, exact=True).click()


def in_row(table, row: int) -> list[str]:
    """Quantity, layer and unit in a row of a table, from the one for screen readers."""
    cells = [table.locator(f"#glide-cell-{column}-{row}") for column in (0, 1, 2)]
    return [cell.text_content() for cell in cells]


def click_row(page, table, row: int, x: int) -> None:
    """Click in a row of a table, so many pixels from its left."""
    rest(page)
    table.click(position={"x": x, "y": ROW_HEIGHT * (row + 1.5)})


def set_unit(page, unit: int) -> None:
    box = page.get_by_label("Unit", exact=True)
    box.fill(str(unit))
    box.press("Enter")


def characters(page, place: int = 0):
    return page.locator(".coloured-text").nth(place).locator(".text .block > span")


def colours(page, place: int = 0) -> list[str]:
    characters(page, place).first.wait_for()
    return characters(page, place).evaluate_all(
        "all => all.map(s => getComputedStyle(s).backgroundColor)"
    )


def recoloured(page, before: list[str]) -> list[str]:
    """The colours once they are no longer those of before."""
    for _ in range(PATIENCE // 100):
        if (now := colours(page)) and now != before:
            return now
        page.wait_for_timeout(100)
    raise AssertionError("the colours never changed")


def upload_text(page, name: str, text: str) -> None:
    page.get_by_text("Upload a file", exact=True).click()
    payload = {"name": name, "mimeType": "text/plain", "buffer": text.encode()}
    page.locator("input[type=file]").set_input_files(payload)
    page.get_by_role("heading", level=2, name=name, exact=True).wait_for()


def look_inside(page) -> None:
    page.get_by_role("button", name="Look inside").click()
    heading(page, "Cells")
    characters(page).first.wait_for()


def drag(page, first: int, last: int) -> None:
    """Select characters of the text with the mouse."""
    characters(page).nth(first).hover()
    page.mouse.down()
    characters(page).nth(last).hover()
    page.mouse.up()


# -- The way of a visitor -------------------------------------------------------------------------


def test_from_an_upload_to_the_gates_of_one_character(window):
    page = window()
    heading(page, "A microscope for deep recurrent networks")
    upload_text(page, "unseen_text_.txt", TEXT)
    look_inside(page)
    first = colours(page)
    assert len(first) == len(TEXT)
    shown = "".join(characters(page).all_text_contents())
    assert re.sub(r" ?\n", "\n", shown) == TEXT
    assert len(set(first)) > 10

    characters(page).first.evaluate("span => { span.kept = true; }")
    unit = int(page.get_by_label("Unit", exact=True).input_value())
    set_unit(page, (unit + 1) % 8)
    named_in_address(page, unit=str((unit + 1) % 8), sample=None)
    second = recoloured(page, first)
    choose(page, "Quantity", "Depth forget gate")
    named_in_address(page, quantity="depth.forget")
    third = recoloured(page, second)
    assert len(third) == len(TEXT)
    assert characters(page).first.evaluate("span => span.kept === true")

    characters(page).nth(33).click()
    unit = (unit + 1) % 8
    page.get_by_text(f"Unit {unit} in every layer at character 34 (byte 34)", exact=True).wait_for()
    gates = page.get_by_test_id("stPlotlyChart").first
    for label in ("Along time", "Along depth", "forget", "candidate"):
        gates.get_by_text(label, exact=True).first.wait_for()
    assert colours(page) == third

    characters(page).nth(3).hover()
    tooltip = page.locator(".coloured-text .tooltip")
    expect(tooltip).to_contain_text("Depth forget gate")
    page.get_by_text("Surprise", exact=True).click()
    named_in_address(page, below="surprise")
    page.get_by_text("All units of this layer", exact=True).click()
    named_in_address(page, below="units")
    page.get_by_role("combobox", name="Order of the units").wait_for()


def test_a_copied_link_opens_the_same_view(window):
    page = window()
    heading(page, "A microscope for deep recurrent networks")
    choose(page, "Sample", "Program code")
    named_in_address(page, sample="code.txt")
    look_inside(page)
    choose(page, "Model", "Stacked LSTM, 2 layers, 8 units")
    named_in_address(page, model="stacked-2")
    choose(page, "Quantity", "Time output gate")
    named_in_address(page, quantity="time.output")
    set_unit(page, 3)
    named_in_address(page, unit="3", quantity="time.output", model="stacked-2", sample="code.txt")
    choose(page, "Layer", "1")
    named_in_address(page, layer="1")
    wanted, link = colours(page), urlsplit(page.url)

    other = window(f"{link.path[1:]}?{link.query}")
    heading(other, "Cells")
    assert colours(other) == wanted
    expect(other.get_by_label("Unit", exact=True)).to_have_value("3", timeout=30_000)
    eventually(other, lambda: "".join(characters(other).all_text_contents()).startswith("/*"))
    expect(other.locator(".coloured-text .title")).to_contain_text("layer 1, unit 3")
    assert urlsplit(other.url).query == link.query
    go(other, "Forget gates")
    go(other, "Cells")
    named_in_address(other, unit="3", quantity="time.output", model="stacked-2", layer="1")
    assert colours(other) == wanted


def test_the_back_button_leads_to_the_page_before(window):
    page = window()
    heading(page, "A microscope for deep recurrent networks")
    look_inside(page)
    go(page, "Forget gates")
    steps = page.evaluate("history.length")
    go(page, "Models")
    steps = page.evaluate("history.length") - steps
    assert steps <= 2  # the page, and what is chosen there
    for _ in range(steps):
        rest(page)
        page.go_back()
    heading(page, "Forget gates")
    page.get_by_test_id("stPlotlyChart").nth(2).wait_for()


SLOW_CONNECTION = """
  window.lateness = 0;  // milliseconds by which the server's messages come late
  window.WebSocket = class extends WebSocket {
    addEventListener(type, listener, ...more) {
      const late = event => setTimeout(() => listener(event), window.lateness);
      super.addEventListener(type, type === "message" ? late : listener, ...more);
    }
  };
"""


def test_a_visitor_may_be_faster_than_the_server(window):
    """Streamlit's browser side drops what it keeps by then: the page would be lost."""
    page = window("gates", script=SLOW_CONNECTION)
    heading(page, "Forget gates")
    go(page, "Models")
    page.evaluate("window.lateness = 4000")
    sidebar = page.get_by_test_id("stSidebarNav")
    sidebar.get_by_text("Curves", exact=True).click()
    page.wait_for_timeout(2000)  # the server has done with Curves, and nothing of it has come
    page.get_by_role("heading", level=1, name="Models", exact=True).wait_for(timeout=1000)
    sidebar.get_by_text("Forget gates", exact=True).click()
    page.wait_for_timeout(2 * 4000)
    heading(page, "Forget gates")
    page.get_by_test_id("stPlotlyChart").nth(2).wait_for()


def test_two_models_side_by_side(window):
    page = window("cells")
    heading(page, "Cells")
    choose(page, "Beside it", "Stacked LSTM, 2 layers, 8 units")
    named_in_address(page, beside="stacked-2")
    characters(page, 1).first.wait_for()
    titles = page.locator(".coloured-text .title").all_text_contents()
    assert [title.split(",")[0] for title in titles] == ["Grid LSTM", "Stacked LSTM"]
    texts = ["".join(characters(page, place).all_text_contents()) for place in (0, 1)]
    assert texts[0] == texts[1]
    beside = colours(page, 1)
    before = colours(page)
    choose(page, "Quantity", "Depth forget gate")
    named_in_address(page, quantity="depth.forget")
    recoloured(page, before)
    assert colours(page, 1) == beside


def test_a_row_of_the_ranking_opens_its_cell(window):
    page = window("find")
    heading(page, "Find a cell")
    table = page.get_by_test_id("stDataFrame").first
    # The grid is a picture; what it shows is also there as a table for screen readers.
    row = in_row(table, 4)
    click_row(page, table, 4, 300)
    heading(page, "Cells")
    named_in_address(page, layer=row[1], unit=row[2])
    characters(page).first.wait_for()
    expect(page.get_by_label("Unit", exact=True)).to_have_value(row[2], timeout=30_000)
    quantity = page.get_by_role("combobox", name="Quantity")
    assert row[0] in (quantity.input_value(), quantity.locator("xpath=../..").text_content())
    go(page, "Find a cell")
    page.get_by_test_id("stDataFrame").first.wait_for()
    go(page, "Cells")
    named_in_address(page, layer=row[1], unit=row[2])
    other = str((int(row[2]) + 1) % 8)
    set_unit(page, int(other))
    named_in_address(page, layer=row[1], unit=other)
    go(page, "Find a cell")
    go(page, "Cells")
    named_in_address(page, layer=row[1], unit=other)


def test_a_click_in_a_sorted_ranking_opens_the_cell_that_is_clicked(window):
    page = window("find?model=grid-3")
    heading(page, "Find a cell")
    table = page.get_by_test_id("stDataFrame").first
    before = in_row(table, 2)
    table.click(position={"x": 300, "y": ROW_HEIGHT / 2})
    lowest = table.locator("#glide-cell-2-0").filter(has_text=re.compile("^0$"))
    lowest.wait_for(state="attached")
    rest(page)
    after = in_row(table, 2)
    assert after != before
    click_row(page, table, 2, 600)
    heading(page, "Cells")
    named_in_address(page, layer=after[1], unit=after[2])


def test_the_keyboard_passes_a_table_and_opens_a_cell_with_a_button(window):
    page = window("find?model=grid-3")
    heading(page, "Find a cell")
    table = page.get_by_test_id("stDataFrame").first
    row = in_row(table, 2)
    page.get_by_role("combobox", name="Property").focus()
    for _ in range(12):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.id").startswith("glide-cell"):
            break
    offer = page.get_by_role("button", name="Open the cell of the marked row")
    offer.wait_for()
    rest(page)
    for below in (1, 2):
        page.keyboard.press("ArrowDown")
        page.wait_for_function(f"document.activeElement.id.endsWith('-{below}')")
    page.wait_for_timeout(1000)
    heading(page, "Find a cell")
    offer.press("Enter")
    heading(page, "Cells")
    named_in_address(page, layer=row[1], unit=row[2])


def test_from_a_property_to_who_wrote_its_cell(window):
    page = window("find?model=grid-3")
    heading(page, "Find a cell")
    choose(page, "Property", "Inside a wiki link")
    named_in_address(page, property="wiki-link")
    page.get_by_text("which the search never saw").wait_for()
    page.get_by_text("By chance alone the best of all").wait_for()
    page.get_by_text("Written low and carried up?").wait_for()
    go(page, "Who wrote it")
    page.get_by_text("is exactly the sum of what layers").wait_for()
    page.get_by_text("Which character wrote it", exact=True).click()
    named_in_address(page, provenance="time")
    characters(page, 1).first.wait_for()
    characters(page).nth(20).click()
    page.get_by_text("At character 21 the memory is").wait_for()
    expect(characters(page, 1)).to_have_count(21, timeout=PATIENCE)


def test_a_span_selected_with_the_mouse_is_searched_for(window):
    page = window("find?model=grid-3&find=selection")
    heading(page, "Find a cell")
    page.get_by_text("Drag over some characters").wait_for()
    drag(page, 4, 6)
    answer = re.compile(r"cells? (is|are) on in it|No unit is on throughout")
    page.get_by_text(answer).first.wait_for()


PARAGRAPH = "some words of prose, and then http://example.org/a?b=1 comes along.\n\n\n\n"
REPEATED = PARAGRAPH * 40
# Beyond it nothing is in sight before the text has been scrolled, and the table lists enough.
FAR_DOWN = 5 * len(PARAGRAPH)


def with_cells_and_their_like(folder) -> tuple[int, int, list[tuple[int, int]]]:
    """A selection in REPEATED that has cells, and its places, some far down in the text."""
    model = load_model(folder / "grid-3.safetensors")[0]
    text = from_string(REPEATED)
    values = trace(model, text.data).values
    memories = {q: v for q, v in values.items() if q.endswith(".cell")}
    for start in range(len(PARAGRAPH), 2 * len(PARAGRAPH)):
        try:
            units = units_on(memories, text.last_byte, start, start + 2)
        except SelectionError:
            continue
        found = similar_places(memories, text.last_byte, units, start, start + 2)
        places = list(zip(found["start"].tolist(), found["end"].tolist(), strict=True))
        if any(place[0] > FAR_DOWN for place in places[:8]):
            return start, start + 2, places
    raise AssertionError("no selection has cells that are on elsewhere as well")


def in_view(page, position: int) -> bool:
    """Whether a character is inside the frame of its text, and that inside the window."""
    return (
        characters(page)
        .nth(position)
        .evaluate(
            """span => {
          const [box, frame] = [span, span.closest('.text')].map(n => n.getBoundingClientRect());
          return box.top >= frame.top && box.bottom <= frame.bottom
            && box.top >= 0 && box.bottom <= window.innerHeight;
        }"""
        )
    )


def test_a_selection_leads_to_its_cells_and_to_its_like(window, folder):
    start, end, places = with_cells_and_their_like(folder)
    row = next(i for i, place in enumerate(places) if place[0] > FAR_DOWN)
    page = window("?model=grid-3")
    heading(page, "A microscope for deep recurrent networks")
    upload_text(page, "repeated.txt", REPEATED)
    look_inside(page)
    drag(page, start, end - 1)
    page.get_by_role("button", name="Find the cells of this selection").click()
    heading(page, "Find a cell")
    page.get_by_text(re.compile(f"Characters {start + 1} to {end} selected")).wait_for()
    assert characters(page).evaluate_all(
        "all => all.flatMap((span, i) => 'chosen' in span.dataset ? [i] : [])"
    ) == list(range(start, end))

    page.get_by_text("The same cells elsewhere").wait_for()
    assert not in_view(page, places[row][0])
    table = page.get_by_test_id("stDataFrame").nth(1)
    click_row(page, table, row, 200)
    page.locator(".coloured-text .text [data-place]").first.wait_for()
    assert characters(page).evaluate_all(
        "all => all.flatMap((span, i) => 'place' in span.dataset ? [i] : [])"
    ) == list(range(*places[row]))
    assert in_view(page, places[row][0]) and in_view(page, places[row][1] - 1)

    page.get_by_role("button", name="on the page Cells").click()
    heading(page, "Cells")
    page.get_by_text(f"in every layer at character {places[row][1]:,} ").wait_for()
    assert in_view(page, places[row][0])


def test_a_text_that_was_just_typed_is_looked_inside_at_once(window):
    page = window()
    heading(page, "A microscope for deep recurrent networks")
    page.get_by_text("Type or paste", exact=True).click()
    page.get_by_label("Your text").press_sequentially("Typed here: http://example.org/")
    look_inside(page)
    eventually(
        page,
        lambda: "".join(characters(page).all_text_contents()) == "Typed here: http://example.org/",
    )


def test_a_first_visit_opens_on_the_address_cell(window, address_of_shipped):
    page = window(at=address_of_shipped)
    heading(page, "Cells")
    page.get_by_text("This cell knows when it is inside a web address.").wait_for()
    characters(page).first.wait_for()
    title = page.locator(".coloured-text .title").text_content()
    assert title.endswith("layer 6, unit 152")
    named_in_address(page, model="grid-6", sample="wiki-urls.txt", unit="152")
    text = "".join(shown[0] for shown in characters(page).all_text_contents())
    address, after = text.index("://www.fao.org"), text.index("Food and Agriculture")
    inside, outside = (colours(page)[at + 4] for at in (address, after))
    red, _, blue = map(int, re.findall(r"\d+", inside))
    assert red > blue
    red, _, blue = map(int, re.findall(r"\d+", outside))
    assert red < blue
    page.get_by_role("button", name="Put in a text of your own").click()
    heading(page, "A microscope for deep recurrent networks")
    page.get_by_label("Your text").wait_for()
    go(page, "Cells")
    page.get_by_text("This cell knows when it is inside a web address.").wait_for()


SWITCHED_OFF = "sample=wiki-urls.txt&model=grid-3&quantity=time.cell&layer=2&unit=3"


def test_the_cell_that_is_looked_at_is_switched_off(window):
    page = window(f"cells?{SWITCHED_OFF}")
    heading(page, "Cells")
    go(page, "Switch off")
    page.get_by_text("Time memory (cell c), layer 2, unit 3, at 0.000 (zero)").wait_for()
    before = colours(page)
    page.get_by_text("Its mean outside", exact=True).click()
    rest(page)
    changed = recoloured(page, before)
    page.get_by_role("button", name="Add to the list").click()
    page.get_by_role("button", name="Remove").wait_for()
    set_unit(page, 4)
    named_in_address(page, unit="4")
    recoloured(page, changed)

    characters(page).nth(40).click()
    page.get_by_role("heading", name="What comes after character 41?").wait_for()
    bars = page.get_by_test_id("stPlotlyChart").first.locator(".barlayer .point")
    expect(bars).to_have_count(20, timeout=PATIENCE)
    page.get_by_text("Written on from character 41").wait_for()
    expect(page.get_by_test_id("stCode")).to_have_count(2, timeout=PATIENCE)


def test_a_row_of_the_ablations_opens_its_cell(window):
    page = window(f"switch_off?{SWITCHED_OFF}")
    heading(page, "Switch off")
    page.get_by_role("button", name="Start").click()
    table = page.get_by_test_id("stDataFrame").first
    table.locator("#glide-cell-4-2").wait_for(state="attached")
    layer, unit = (table.locator(f"#glide-cell-{n}-2").text_content() for n in (2, 3))
    click_row(page, table, 2, 800)
    heading(page, "Cells")
    named_in_address(page, quantity="time.cell", layer=layer, unit=unit)
    expect(page.get_by_label("Unit", exact=True)).to_have_value(unit, timeout=PATIENCE)


def test_a_point_of_the_saturation_plot_opens_its_gate(window):
    page = window("gates?model=grid-3&quantity=time.cell")
    heading(page, "Forget gates")
    plot = page.get_by_test_id("stPlotlyChart").nth(2)
    plot.locator(".scatterlayer .point").last.wait_for()
    plot.scroll_into_view_if_needed()
    box = plot.locator(".scatterlayer .point").last.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    label = plot.locator(".hoverlayer .hovertext")
    label.wait_for()
    layer, unit = re.search(r"layer (\d+), unit (\d+)", label.text_content()).groups()
    page.mouse.down()
    page.mouse.up()
    heading(page, "Cells")
    named_in_address(page, quantity="depth.forget", layer=layer, unit=unit)
    characters(page).first.wait_for()


def test_curves_of_all_models_and_a_run_that_moves_by_itself(window, folder):
    page = window("curves")
    heading(page, "Curves")
    plot = page.get_by_test_id("stPlotlyChart").first

    def has_line(label: str) -> None:
        plot.locator(".legendtext, .annotation-text").filter(has_text=label).first.wait_for()

    has_line("Grid LSTM, 3 layers")
    has_line("Stacked LSTM, 2 layers")
    before = plot.locator(".scatterlayer .trace").count()
    running = folder / "running.csv"
    try:
        app_checkpoints.curve(running, 2.0)
        has_line("running")
        eventually(page, lambda: plot.locator(".scatterlayer .trace").count() > before)
    finally:
        running.unlink()


# -- What must not happen -------------------------------------------------------------------------


def test_markup_in_a_text_and_in_its_name_stays_text(window):
    page = window()
    heading(page, "A microscope for deep recurrent networks")
    upload_text(page, "![n](b.png) *c* :red[d].txt", MARKUP)
    look_inside(page)
    eventually(page, lambda: "".join(characters(page).all_text_contents()) == MARKUP)
    page.get_by_text("![n](b.png) *c* :red[d].txt", exact=True).wait_for()
    page.get_by_text("Surprise", exact=True).click()
    named_in_address(page, below="surprise")
    for name in ("Forget gates", "Find a cell"):
        go(page, name)
    assert page.evaluate("window.harmed") is None
    assert page.locator("img[src*=tracker], img[src*='b.png']").count() == 0


def test_markup_in_a_checkpoint_stays_text(window, folder):
    """A checkpoint may come from a stranger: looking at it asks no other host for a picture."""
    files = [folder / "odd.safetensors", folder / "bad.safetensors"]
    training = {PICTURE: PICTURE}
    try:
        app_checkpoints.checkpoint(
            files[0], STACKED, machine=PICTURE, training=training, libraries=training
        )
        app_checkpoints.with_model(files[1], architecture=SHORT_PICTURE)
        page = window("models")
        heading(page, "Models")
        choose(page, "Details of", "Stacked LSTM, 2 layers, 8 units · odd")
        # What parts a name that is not to be a link is not seen.
        tables = page.get_by_test_id("stTable")
        eventually(page, lambda: PICTURE in "".join(tables.all_inner_texts()).replace("\u2060", ""))
        said = page.get_by_test_id("stAppViewContainer").inner_text().replace("\u2060", "")
        assert f"bad.safetensors: Unknown architecture '{SHORT_PICTURE}'" in said
        assert page.locator("img[src*=tracker]").count() == 0
    finally:
        for file in files:
            file.unlink(missing_ok=True)


def test_an_uploaded_model_is_the_visitors_own(window, tmp_path):
    config = app_checkpoints.ModelConfig("grid", 2, 6, "none")
    checkpoint = app_checkpoints.checkpoint(tmp_path / "own.safetensors", config, seed=3)
    curve = app_checkpoints.curve(tmp_path / "own.csv")
    broken = tmp_path / "broken.safetensors"
    broken.write_bytes(checkpoint.read_bytes()[:500])
    title = "Grid LSTM, 2 layers, 6 units (mine)"
    page = window("models")
    heading(page, "Models")
    page.locator("input[type=file]").set_input_files([checkpoint, curve, broken])
    page.get_by_text("broken.safetensors: This is not a whole .safetensors file").wait_for()
    go(page, "Cells")
    choose(page, "Model", title)
    named_in_address(page, model="own (mine)")
    expect(page.locator(".coloured-text .strips .labels div")).to_have_count(2, timeout=30_000)
    link = urlsplit(page.url)

    other = window(f"cells?{link.query}")
    heading(other, "Cells")
    named_in_address(other, model="grid-3")
    other.get_by_role("combobox", name="Model").click()
    other.get_by_role("option").first.wait_for()
    assert title not in other.get_by_role("option").all_text_contents()


def test_another_programs_model_is_asked_about_looked_into_and_writes(window, tmp_path):
    torch.manual_seed(2)
    torch.save(CharRNN().state_dict(), tmp_path / "theirs.pt")
    corpus = tmp_path / "corpus.txt"
    corpus.write_text(text_of(400) + SIGNS, encoding="utf-8")
    page = window()
    upload_text(page, "odd.txt", "bé’X fü " + text_of(100))
    go(page, "Models")
    page.locator("input[type=file]").set_input_files(tmp_path / "theirs.pt")
    page.get_by_text("Recognised: theirs").wait_for()
    page.get_by_text("The text it was trained on", exact=True).click()
    asked = page.get_by_text("The text it was trained on", exact=True)
    expect(asked).to_have_count(2, timeout=PATIENCE)
    page.locator("input[type=file]").nth(1).set_input_files(corpus)
    page.get_by_text("14 characters, of which 5 need several bytes").wait_for()
    expect(page.get_by_test_id("stMetricValue")).to_have_count(3, timeout=PATIENCE)
    expect(page.get_by_test_id("stMetricValue").nth(2)).to_have_text("3.807")  # log2 of 14

    look_inside(page)
    named_in_address(page, model="theirs (mine)")
    skipped = page.locator(".coloured-text .text [data-skipped]")
    expect(skipped).to_have_text(["X", "ü"], timeout=PATIENCE)

    go(page, "Let it write")
    page.get_by_role("textbox", name="Text to begin with").fill("é’")
    page.get_by_role("textbox", name="Text to begin with").press("Control+Enter")
    page.get_by_role("spinbutton", name="Length in characters").fill("20")
    page.get_by_role("spinbutton", name="Length in characters").press("Enter")
    page.get_by_role("button", name="Write", exact=True).click()
    expect(characters(page)).to_have_count(22, timeout=PATIENCE)
    assert set("".join(characters(page).all_text_contents())) <= set(SIGNS)


# -- For everyone ---------------------------------------------------------------------------------


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_nothing_on_a_page_is_hard_to_see_or_without_a_name(window, theme):
    page = window("?sample=wiki-urls.txt", theme=theme)
    start = "A microscope for deep recurrent networks"
    heading(page, start)
    told = {start: faults(page)}
    for name in ("Cells", *OTHER_PAGES):
        go(page, name)
        told[name] = faults(page)
    assert told == dict.fromkeys(told, [])
