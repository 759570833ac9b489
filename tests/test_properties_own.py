"""What a user states: a pattern, a selection, the name of a property."""

import hashlib
import os
import re
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from marked import drawn, written

from gridlstm.analysis.properties import (
    PROPERTIES,
    PropertyError,
    from_span,
    measure_named,
    own_pattern,
    pattern_process,
    property_named,
)
from gridlstm.errors import UserError


@pytest.mark.parametrize(
    "pattern, text, marks",
    [
        (
            r"\d+px",
            "1px 22px px 3em",
            "###.####.......",
        ),
        (  # ^ and $ at each line; the whole match, whatever its groups
            "^(a)b?$",
            "a⏎ab⏎abc⏎ a⏎a",
            "#.##........#",
        ),
        (
            "(?i)é|中",
            "É é e\u0301 中",
            "#.#....#",
        ),
        (  # nothing is marked where nothing is matched
            "a*",
            "baab",
            ".##.",
        ),
    ],
)
def test_matches_are_marked(pattern, text, marks):
    found = own_pattern(pattern, written(text))
    assert found.dtype == bool
    assert drawn(found) == marks


@given(st.sampled_from(["a+", "ab|ba", "[^a]", "(a)(b)*", r"b\b"]), st.text("ab ", max_size=30))
def test_marks_are_those_of_another_engine(pattern, characters):
    expected = np.zeros(len(characters), bool)
    for match in re.finditer(pattern, characters):
        expected[match.start() : match.end()] = True
    if expected.any():
        np.testing.assert_array_equal(own_pattern(pattern, characters), expected)
    else:
        with pytest.raises(PropertyError, match="matches no character"):
            own_pattern(pattern, characters)


def is_one_sentence(message: str) -> bool:
    return message[0].isupper() and message.endswith(".") and "\n" not in message


@pytest.mark.parametrize(
    "pattern, reason",
    [
        ("(a", r"not understood: missing \) \(at its character 3\)"),
        ("*", "not understood: nothing to repeat"),
        ("(?<=a", "not understood"),
        (r"\p{Nonsense}", "not understood: unknown property"),
        ("(" * 490 + ")" * 490, "not understood: it is nested too deeply"),
        ("a" * 1001, "may have 1,000 characters; this one has 1,001"),
        ("x", "matches no character"),
        ("", "matches no character"),
        ("$", "matches no character"),
    ],
)
def test_a_pattern_that_does_not_work_is_refused_in_one_sentence(pattern, reason):
    with pytest.raises(UserError, match=reason) as refusal:
        own_pattern(pattern, "aaa\nbbb")
    assert isinstance(refusal.value, PropertyError)
    assert is_one_sentence(str(refusal.value))


@pytest.mark.parametrize("pattern", ["(?:a|ab?b?b)*[^ab]", r"(\w+)+\d\1", "(?b)(?:abcdefgh){e<=7}"])
def test_a_pattern_that_runs_too_long_is_stopped(pattern):
    # Without the limit each takes longer than anybody lives, or nearly.
    with pytest.raises(PropertyError, match=r"takes more than 0\.05 s"):
        own_pattern(pattern, "ab" * 10_000, seconds=0.05)


# -- The process that searches --------------------------------------------------------------------

# Matches nothing, after as many steps as the square of the text's length.
SLOW, SLOW_TEXT = "[a-z]*?(?:[a-z]*1)", "a" * 4_000


def seconds_of(pattern: str, characters: str) -> float:
    """Processor time that this process needs for it."""
    import regex

    before = time.process_time()
    list(regex.finditer(pattern, characters))
    return time.process_time() - before


def test_threads_of_this_process_take_nothing_off_the_limit():
    """Beside them the processor time of the whole process runs several times as fast."""
    done = threading.Event()

    def work():
        block = b"x" * 2**20
        while not done.is_set():
            hashlib.sha256(block)  # without the lock of the interpreter

    limit = 3 * max(seconds_of(SLOW, SLOW_TEXT), 0.1)
    busy = [threading.Thread(target=work) for _ in range(3)]
    for thread in busy:
        thread.start()
    try:
        with pytest.raises(PropertyError, match="matches no character"):
            own_pattern(SLOW, SLOW_TEXT, seconds=limit)
    finally:
        done.set()
        for thread in busy:
            thread.join()


def test_the_clock_ends_what_does_not_end_itself(monkeypatch):
    started = time.monotonic()
    with monkeypatch.context() as patch, pytest.raises(PropertyError, match="takes more than 60 s"):
        patch.setattr(pattern_process, "MIN_CLOCK_SECONDS", 0.5)
        patch.setattr(pattern_process, "MAX_CLOCK", 0)
        own_pattern(r"(\w+)+\d\1", "ab" * 10_000, seconds=60)
    assert time.monotonic() - started < 20
    assert own_pattern("b", "ab").tolist() == [False, True]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux bounds a process' memory")
def test_memory_is_bounded():
    """Each repetition's capture is kept: some 20 bytes a character, of which there are many."""
    characters = "ab\n" * 300_000
    marks = np.frombuffer(pattern_process.matched("(?s)(.)+", characters, 5)[1], np.uint8)
    assert marks.all() and len(marks) == len(characters)
    answer, _ = pattern_process.matched("(?s)(.)+", characters, 5, memory=24 * 2**20)
    assert answer["fault"] == "memory"
    assert pattern_process.matched("(?s).+", characters, 5, memory=24 * 2**20)[0]["fault"] is None


@pytest.mark.parametrize("fault", ["memory", "end"])
def test_want_of_memory_is_told_in_one_sentence(monkeypatch, fault):
    """Also where the process itself is ended for it."""
    memory = {"memory": 24, "end": 1}[fault] * 2**20
    matched = pattern_process.matched
    monkeypatch.setattr(
        "gridlstm.analysis.properties.own.matched", lambda *asked: matched(*asked, memory=memory)
    )
    with pytest.raises(PropertyError, match="too much memory on this text") as refusal:
        own_pattern("(?s)(.)+", "ab\n" * 300_000)
    assert is_one_sentence(str(refusal.value))


def test_one_process_serves_one_pattern_after_the_other():
    own_pattern("a", "ab")
    (kept,) = pattern_process._idle
    for pattern in ("a+", "b"):
        own_pattern(pattern, "ab")
    with pytest.raises(PropertyError, match="not understood"):
        own_pattern("(", "ab")
    assert pattern_process._idle == [kept]
    kept._process.kill()
    kept._process.wait()
    assert own_pattern("b", "ab").tolist() == [False, True]  # another is started
    assert pattern_process._idle != [kept]


def test_several_ask_at_once():
    """Each has the marks of its own pattern, and hardly a process is kept."""
    texts = ["".join("ab"[i >> n & 1] for n in range(12)) for i in range(40)]
    found = {}
    threads = [
        threading.Thread(target=lambda t=t: found.update({t: drawn(own_pattern("a|$", t + "a"))}))
        for t in texts
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    expected = {t: t.replace("a", "#").replace("b", ".") + "#" for t in texts}
    assert found == expected
    assert 1 <= len(pattern_process._idle) <= pattern_process.MAX_PROCESSES


def test_what_is_no_text_for_other_programs_is_searched_too():
    assert own_pattern("\ud800|é", "\ud800a\0é\U0001f600").tolist() == [1, 0, 0, 1, 0]


def test_a_process_that_cannot_start_is_told_in_one_sentence(monkeypatch):
    while pattern_process._idle:
        pattern_process._idle.pop().end()
    monkeypatch.setattr(pattern_process.sys, "executable", "/nowhere/python")
    with pytest.raises(PropertyError, match="No process can be started") as refusal:
        own_pattern("a", "ab")
    assert is_one_sentence(str(refusal.value))


def test_the_process_ends_with_the_program_and_imports_little():
    """Also where that is killed. No torch and no NumPy make its start long."""
    program = (
        "import sys\nfrom gridlstm.analysis.properties import own_pattern, pattern_process\n"
        "own_pattern('a', 'ab'); print(pattern_process._idle[0]._process.pid, flush=True)\n"
        "sys.stdin.read()"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    child = int(parent.stdout.readline())
    if sys.platform == "linux":
        with open(f"/proc/{child}/maps") as maps:
            loaded = maps.read()
        assert "regex" in loaded and "numpy" not in loaded and "torch" not in loaded
    parent.kill()
    parent.communicate()
    deadline = time.monotonic() + 10
    while is_running(child):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def is_running(process: int) -> bool:
    try:
        with open(f"/proc/{process}/stat") as stat:
            return stat.read().rsplit(")")[1].split()[0] != "Z"
    except FileNotFoundError:
        pass
    if sys.platform == "linux":
        return False
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_selection_is_marked():
    assert drawn(from_span(2, 5, "abcdefg")) == "..###.."
    assert drawn(from_span(0, 1, "a")) == "#"


@pytest.mark.parametrize("start, end", [(-1, 2), (2, 2), (3, 2), (0, 8), (7, 8)])
def test_a_selection_that_the_text_does_not_have_is_refused(start, end):
    with pytest.raises(PropertyError, match="in a text of 7") as refusal:
        from_span(start, end, "abcdefg")
    assert is_one_sentence(str(refusal.value))


def test_names_lead_to_properties():
    assert property_named("wiki-link") is PROPERTIES["wiki-link"]
    text = "see http://a.org (now)"
    np.testing.assert_array_equal(measure_named("url", text), PROPERTIES["url"].measure(text))
    assert drawn(measure_named("pattern:o.", text)) == ".............##....##."
    assert drawn(measure_named("pattern:^s", text)) == "#" + "." * 21
    assert drawn(measure_named("span:4-16", text)) == "....############......"
    assert measure_named("line-position", text).dtype == np.float64


@pytest.mark.parametrize("name", ["pattern:a|b", "span:3-7"])
def test_a_property_of_the_users_own_describes_itself(name):
    found = property_named(name)
    assert found.name == name and found.kind == "mark"
    assert found.title and is_one_sentence(found.explanation)


@pytest.mark.parametrize(
    "name, text, reason",
    [
        ("wikilink", "a", "no such property; there are url, wiki-link, "),
        ("", "a", "no such property"),
        ("span:3", "abcd", "no such property"),
        ("span:-1-3", "abcd", "no such property"),
        ("span:1-9", "abcd", "cannot be selected in a text of 4"),
        ("pattern:(", "abcd", "not understood"),
        ("url", "no address", "“Inside a web address” holds for no character"),
        ("url", "http://a.org", "“Inside a web address” holds for every character"),
        ("pattern:.", "abc", "“Inside a match of the pattern” holds for every character"),
        ("template-depth", "a {b}", "“Depth of templates” is 0 at every character"),
        ("indentation", "ab\ncd", "is 0 at every character"),
        ("url", "", "The text is empty"),
        ("line-position", "", "The text is empty"),
    ],
)
def test_what_tells_nothing_apart_is_refused_in_one_sentence(name, text, reason):
    with pytest.raises(PropertyError, match=reason) as refusal:
        measure_named(name, text)
    assert is_one_sentence(str(refusal.value))
