"""Names of files, and what they say of themselves, in a real browser: text stays text."""

from urllib.parse import urlencode

import app_checkpoints
import pytest
from app_checkpoints import GRID, ROOT
from test_browser import PATIENCE, browser, go, heading, rest, window  # noqa: F401  (fixtures)

from gridlstm.checkpoint import Data

pytestmark = pytest.mark.browser
# In a file's name there can be no slash.
NAMES = {
    "link": "www.example.com me@example.com <u>under",
    "markdown": "~~struck~~ :smile: :red[red] $hostile$ ->",
    "more": "![p](x.png) [l](x.htm) :material_home: <s>s",
}
SAID = "http://example.com/ <a href='//e.example'>a</a> <u>u</u>"
JOINER = "\u2060"
TEXT_NAME = "www.example.com <u>under :smile: me@example.com ~~struck~~.txt"
PAGES = [
    "Cells",
    "Forget gates",
    "Find a cell",
    "Who wrote it",
    "Switch off",
    "Let it write",
    "Addition",
    "Curves",
    "Models",
]
# What would come of the names above, were they more than text.
MARKUP = """() => {
  const found = [];
  const take = (what, nodes) => nodes.forEach((node) => found.push(`${what}: ${node.outerHTML}`));
  const all = (selector) => [...document.querySelectorAll(selector)];
  const href = (node) => node.getAttribute("href") ?? node.getAttribute("xlink:href") ?? "";
  take("link", all("a").filter((node) => /example|mailto|x\\.htm/.test(href(node))));
  take("picture", all("img").filter((node) => /x\\.png/.test(node.src)));
  take("tag", all("u, s, del").filter((node) => !node.closest(".coloured-text")));
  take("tag in a chart", all("svg tspan").filter((node) =>
    /underline|line-through/.test(node.getAttribute("style") ?? "")));
  take("colour", all(".stMarkdownColoredText"));
  take("formula", all(".katex").filter((node) => /hostile/.test(node.textContent)));
  take("icon", all("span[role=img], [data-testid=stIconMaterial]").filter(
    (node) => /^home$/.test(node.textContent.trim()) ));
  const text = document.body.innerText;
  if (/\\u{1F604}|→ *$/mu.test(text)) found.push("a sign made of text");
  return found;
}"""
# Opens the tooltips one after the other, as a pointer does that comes to what has them.
TOOLTIPS = (
    """async (patience) => {
  const markup = """
    + MARKUP
    + """;
  const opened = () => [...document.querySelectorAll("[data-testid=stTooltipContent]")];
  const send = (target, names) => names.forEach((name) =>
    target.dispatchEvent(new PointerEvent(name, { bubbles: true, pointerType: "mouse" })));
  const targets = [...document.querySelectorAll("[data-testid=stTooltipHoverTarget]")];
  const found = [];
  for (const target of targets) {
    const before = new Set(opened()), end = performance.now() + patience;
    const isOpen = () => opened().some((node) => !before.has(node));
    target.scrollIntoView({ block: "center" });
    send(target, ["pointerover", "pointerenter", "mouseover", "mousemove"]);
    while (!isOpen() && performance.now() < end)
      await new Promise((resolve) => setTimeout(resolve, 10));
    found.push(...(isOpen() ? markup() : [`a tooltip that stays closed: ${target.outerHTML}`]));
    send(target, ["pointerout", "pointerleave", "mouseout", "mouseleave"]);
  }
  return [targets.length, found];
}"""
)
# A page is drawn for a moment longer than its script runs.
STEADY = """() => {
  const count = document.querySelectorAll(
    "[data-testid=stTooltipHoverTarget], [role=combobox]").length;
  const now = performance.now();
  if (window.seen?.count !== count) window.seen = { count, since: now };
  return now - window.seen.since > 250;
}"""
# Until the page has been told of the scrolling, which closes what is open.
INTO_VIEW = """(node) => {
  node.scrollIntoView({ block: "center" });
  const frame = () => new Promise(requestAnimationFrame);
  return frame().then(frame);
}"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Models whose names and files are hostile: of one shape, so that they are told by their
    names, and of two texts, so that these are told; one adds."""
    folder = tmp_path_factory.mktemp("checkpoints")
    said = {SAID: SAID, "task": "addition", "digits": 2, "length": 9, "begun_from": SAID}
    for number, name in enumerate(NAMES.values()):
        facts = {"machine": SAID, "libraries": {SAID: SAID}, "validation_loss": 1.0 + number}
        training = said if number == 2 else {"begun_from": f"{NAMES['link']}.safetensors"}
        path = app_checkpoints.checkpoint(
            folder / f"{name}.safetensors", GRID, number, training=training, **facts
        )
        app_checkpoints.curve(path.with_suffix(".csv"))
    app_checkpoints.with_model(folder / f"bad {NAMES['markdown']}.safetensors", architecture=SAID)
    (folder / f"bad {NAMES['link']}.csv").write_text("update,loss\n1,2\n")
    app_checkpoints.curve(folder / f"no weights {NAMES['link']}.csv")
    return folder


@pytest.fixture(scope="module")
def address(browser, folder):  # noqa: F811
    script = ROOT / "dashboard" / "app.py"
    with app_checkpoints.serving(script, ROOT, GRIDLSTM_CHECKPOINTS=str(folder)) as address:
        yield address


@pytest.fixture(autouse=True, scope="module")
def texts_of_their_own():
    """Each model says that it was trained on a text of a hostile name."""
    with pytest.MonkeyPatch.context() as patch:
        data = Data(name=SAID, sha256="cd" * 32, bytes=1000, train_fraction=0.5, byte_entropy=3.2)
        patch.setattr(app_checkpoints, "DATA", data)
        yield


def look(page) -> tuple[int, int, list[str]]:
    """How many tooltips and selectors the page has, and all markup that came of a name on it, in a
    tooltip or among the options of a selector, all of which are opened."""
    page.wait_for_function(STEADY)
    found = page.evaluate(MARKUP)
    tooltips, in_tooltips = page.evaluate(TOOLTIPS, PATIENCE)
    boxes = page.get_by_role("combobox").all()
    for box in boxes:
        box.evaluate(INTO_VIEW)
        box.click()
        page.get_by_role("listbox").wait_for()
        found += page.evaluate(MARKUP)
        page.keyboard.press("Escape")
        page.get_by_role("listbox").wait_for(state="detached")
    return tooltips, len(boxes), found + in_tooltips


def test_no_name_becomes_a_link_or_markup_on_any_page(window, tmp_path):  # noqa: F811
    text = tmp_path / TEXT_NAME
    text.write_text(
        "See http://www.example.net/path?q=42 for www.example.com, me@example.com.\n" * 40
    )
    page = window(f"cells?{urlencode({'model': NAMES['link'], 'beside': NAMES['markdown']})}")
    # Ten pages, each of which computes.
    page.set_default_timeout(4 * PATIENCE)
    heading(page, "Cells")
    go(page, "Text", "A microscope for deep recurrent networks")
    page.get_by_text("Upload a file", exact=True).click()
    page.locator("input[type=file]").set_input_files(text)
    page.get_by_role("heading", level=2).get_by_text("under").wait_for()
    rest(page)
    told = {"Text": look(page)}
    for title in PAGES:
        go(page, title)
        told[title] = look(page)
    tooltips, selectors, found = zip(*told.values(), strict=True)
    assert dict(zip(told, found, strict=True)) == dict.fromkeys(told, [])
    assert min(tooltips[1:]) > 0 and min(selectors[1:]) > 0
    shown = page.locator("body").inner_text()
    for name in (NAMES["link"], NAMES["markdown"], SAID):
        assert name in shown.replace(JOINER, ""), "it is shown as it is"
