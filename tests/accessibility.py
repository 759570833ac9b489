"""A page in a real browser as axe-core judges it: contrast, headings, names of what can be used."""

from axe_playwright_python.sync_playwright import Axe

# Streamlit's own: the place where a file is dropped has a name, though it cannot be focused, and a
# piece of code that scrolls cannot be either.
OF_STREAMLIT = {
    "presentation-role-conflict": "stFileUploaderDropzone",
    "scrollable-region-focusable": "<pre class=",
}


def faults(page) -> list[tuple[str, str, str]]:
    """What axe-core finds on a page, but for what is Streamlit's own."""
    page.wait_for_timeout(700)  # what fades in is pale until it is there
    found = Axe().run(page, options={"resultTypes": ["violations"]}).response["violations"]
    return [
        (fault["id"], node["html"], node["failureSummary"])
        for fault in found
        for node in fault["nodes"]
        if OF_STREAMLIT.get(fault["id"], "\0") not in node["html"]
    ]
