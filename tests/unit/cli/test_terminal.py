import itertools
import json
import re
from collections.abc import Sequence

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from prodml.cli.printing import print_json_text, print_table
from prodml.cli.terminal import PlainOutput, escaped, plain

DANGEROUS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")

any_text = st.text(st.characters(codec=None), max_size=60) | st.lists(
    st.sampled_from(["\x1b", "[", "]", "31m", "0;", "\x07", "\\", "\x9b", "P", "\r", "\n", "a"]),
    max_size=20,
).map("".join)


@pytest.mark.parametrize(
    ("given_text", "expected"),
    [
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b[1;38;5;196mbold\x1b[m and \x1b[2Kcleared", "bold and cleared"),
        ("\x1b]0;another title\x07text", "text"),
        ("\x1b]8;;http://host\x1b\\a link\x1b]8;;\x1b\\", "a link"),
        ("\x1bP1$r0m\x1b\\text", "text"),
        ("\x9b31mred\x9b0m", "red"),
        ("\x1b(Bplain\x1bc", "plain"),
        ("\x1b]an unfinished title", "\\u001b]an unfinished title"),
        ("bell\x07 and null\0", "bell\\u0007 and null\\u0000"),
        ("user\u202egnp.exe", "user\\u202egnp.exe"),
        ("half \ud83d pair", "half \\ud83d pair"),
        ("one\r\ntwo\rthree", "one\ntwo\nthree"),
        ("tab\tand Größe, 数, 👩‍🔬", "tab\tand Größe, 数, 👩‍🔬"),
    ],
)
def test_escape_sequences_are_removed_and_other_controls_are_escaped(
    given_text: str, expected: str
) -> None:
    assert plain(given_text) == expected


@given(any_text)
@example("\x1b[\x1b[31m31m")
@example("\x1b\x1b[31m[31m")
def test_no_control_character_remains(text: str) -> None:
    assert not DANGEROUS.search(plain(text))
    output = PlainOutput()
    encoded = text.encode("utf-8", "surrogatepass")
    assert not DANGEROUS.search(output.feed(encoded) + output.end())


@given(st.text(st.characters(exclude_categories=["Cc", "Cs", "Cf", "Zl", "Zp"])))
def test_ordinary_text_is_unchanged(text: str) -> None:
    assert plain(text) == text


@given(st.recursive(st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)))
def test_escaped_json_has_the_same_value(value: object) -> None:
    text = json.dumps(value, ensure_ascii=False)
    assert json.loads(escaped(text)) == value
    assert not DANGEROUS.search(escaped(text))


@pytest.mark.parametrize(
    ("printed", "shown"),
    [
        ("  1%\r 50%\r100%\nnext\n", "100%\nnext\n"),
        ("100%|###|\r\nnext\r\n", "100%|###|\nnext\n"),
        ("bar 9/9\r       \r\nnext\n", "bar 9/9\nnext\n"),
        ("1/2\b\b\b\r\x1b[1m2/2\x1b[0m done\n", "2/2 done\n"),
        ("|\b/\b-\b\\\bready\n", "ready\n"),
        ("\r\n", "\n"),
    ],
)
def test_a_progress_bar_becomes_its_last_state(printed: str, shown: str) -> None:
    assert fed([printed.encode()]) == shown


@given(any_text, st.lists(st.integers(0, 200), max_size=6))
def test_output_in_pieces_gives_the_same_text_as_output_at_once(text: str, cuts: list[int]) -> None:
    encoded = text.encode("utf-8", "surrogatepass")
    places = [0, *sorted(min(cut, len(encoded)) for cut in cuts), len(encoded)]
    pieces = [encoded[a:b] for a, b in itertools.pairwise(places)]
    assert fed(pieces) == fed([encoded])


def test_a_line_without_an_end_needs_bounded_memory() -> None:
    output = PlainOutput()
    for number in range(20_000):
        output.feed(f"{number} steps done\r".encode())
    assert len(output.end()) < 1 << 16


def test_markup_in_a_table_is_printed_as_text(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(["[red]head[/red]", "[/nothing]"], [["[bold]cell[/bold]", "[link=http://h]"]])
    shown = capsys.readouterr().out
    assert "[red]head[/red]" in shown and "[/nothing]" in shown
    assert "[bold]cell[/bold]" in shown and "[link=http://h]" in shown


def test_a_table_has_no_escape_sequences(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(["he\x1b[31mad"], [["ce\x1b[31mll\x07"]])
    assert capsys.readouterr().out.split() == ["head", "cell\\u0007"]


def test_json_is_printed_without_raw_controls(capsys: pytest.CaptureFixture[str]) -> None:
    print_json_text('{"a": "\x9b31m"}')
    assert json.loads(capsys.readouterr().out) == {"a": "\x9b31m"}


def fed(pieces: Sequence[bytes]) -> str:
    output = PlainOutput()
    return "".join([*map(output.feed, pieces), output.end()])
