"""Text as it is kept, and as it is compared."""

import unicodedata
from typing import Literal, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bellbird.core.text import InvalidText, clean, fold, words

Form = Literal["NFC", "NFD", "NFKC", "NFKD"]
anything = st.text(st.characters())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("  Ann \t Lee\r\n", "Ann Lee"),
        ("Ann\u00a0\u2003Lee", "Ann Lee"),
        ("Rene\u0301e", "Renée"),
        ("\ufeffAnn\u200bLee", "AnnLee"),
        ("e\u200b\u0301", "é"),
        ("شرکت\u200cها", "شرکت\u200cها"),
        ("👩\u200d🚀 山田", "👩\u200d🚀 山田"),
        ("\ue000", "\ue000"),
        ("", ""),
        (" \n ", ""),
        ("\u200d \u200e", ""),
    ],
)
def test_a_line_is_kept_without_the_space_nobody_meant(text: str, expected: str) -> None:
    assert expected == clean(text, max_length=50)


def test_several_lines_keep_their_spacing() -> None:
    assert "a  b\n\n\tc\nd" == clean("\n a  b\r\n\r\tc\u2028d \n", max_length=50, multiline=True)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("Ann\x00", "U+0000 at position 4, which is a control character"),
        ("\x1bAnn", "U+001B at position 1"),
        ("A\x85", "U+0085 at position 2"),
        ("A\x0bB", "U+000B"),
        ("A\ud800", "U+D800 at position 2, which is half of a surrogate pair"),
        ("A\u202eB", "U+202E at position 2, which is a control that reverses"),
        ("A\u2066B", "U+2066"),
        ("A\uffff", "U+FFFF at position 2, which is not a character"),
        ("A\U0001fffe", "U+1FFFE"),
    ],
)
@pytest.mark.parametrize("multiline", [False, True])
def test_what_cannot_be_seen_or_stored_is_refused(text: str, says: str, multiline: bool) -> None:
    with pytest.raises(InvalidText) as caught:
        clean(text, max_length=50, multiline=multiline)

    assert "text_character" == caught.value.code
    assert says in caught.value.message


def test_a_text_that_is_too_long_says_by_how_much() -> None:
    assert "x" * 5 == clean("x" * 5 + " ", max_length=5)
    with pytest.raises(InvalidText) as caught:
        clean("x" * 6, max_length=5)

    assert "text_too_long" == caught.value.code
    assert "6 characters long; at most 5" in caught.value.message


@given(anything, st.booleans())
def test_cleaning_what_is_clean_changes_nothing(text: str, multiline: bool) -> None:
    try:
        cleaned = clean(text, max_length=1000, multiline=multiline)
    except InvalidText as error:
        assert error.code == "text_character"
        assert error.message
    else:
        assert cleaned == clean(cleaned, max_length=1000, multiline=multiline)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Renée O’Connor-Smith", "renee oconnor smith"),
        ("Māori", "maori"),
        ("Hawaiʻi", "hawaii"),
        ("straße", "strasse"),
        ("ŁÓDŹ", "lodz"),
        ("Ørsted Æther œuvre", "orsted aether oeuvre"),
        ("Þórður Đặng", "thordur dang"),
        ("İstanbul ısı", "istanbul isi"),
        ("Nguyễn", "nguyen"),
        ("ＡＢＣ１", "abc1"),
        ("ﬁne ½ №", "fine 1 2 no"),
        ("ℌello", "hello"),
        ("acme.com.au", "acme com au"),
        ("Smith & Sons (Pty) _Ltd_", "smith sons pty ltd"),
        ("नमस्ते", "नमस्ते"),
        ("ที่", "ที่"),
        ("がか", "がか"),
        ("김", "김"),
        ("שָׁלוֹם", "שלום"),
        ("مُحَمَّد", "محمد"),
        ("Ελλάς", "ελλασ"),
        ("co\u00adop", "coop"),
        ("😀", ""),
        ("", ""),
    ],
)
def test_text_is_folded_as_people_search_for_it(text: str, expected: str) -> None:
    assert expected == fold(text)


@pytest.mark.parametrize(
    "text", ["O'Brien", "O’Brien", "OBrien", "O‘Brien", "O´Brien", "O`Brien", "OʻBRIEN", "O＇Brien"]
)
def test_every_apostrophe_is_the_same_as_none(text: str) -> None:
    assert "obrien" == fold(text)


@given(anything)
def test_folding_what_is_folded_changes_nothing(text: str) -> None:
    assert fold(text) == fold(fold(text))


def test_folding_each_folded_character_changes_nothing() -> None:
    changed = [code for code in range(0x110000) if fold(once := fold(f"a{chr(code)}b")) != once]

    assert [] == changed


@given(anything, st.sampled_from(get_args(Form)))
def test_the_form_a_text_is_encoded_in_does_not_matter(text: str, form: Form) -> None:
    text = text.replace("´", "")  # compatibility forms make it a space and an accent

    assert fold(text) == fold(unicodedata.normalize(form, text))


@given(st.text(st.characters(codec="ascii")))
def test_the_quick_way_for_ascii_is_the_long_way(text: str) -> None:
    assert f"{fold(text)} e".strip() == fold(f"{text} é")


@given(anything)
def test_words_are_what_is_between_the_spaces_of_the_folded_text(text: str) -> None:
    assert fold(text) == " ".join(words(text))
    assert all(words(text))
