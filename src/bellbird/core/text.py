"""What people type: cleaned before it is kept, folded before it is compared or searched."""

import re
import unicodedata

# Noncharacters (Unicode 16, section 23.7): U+FDD0..FDEF and the last two code points of each plane.
_NONCHARACTERS = "\ufdd0-\ufdef" + "".join(
    f"{chr(plane + 0xFFFE)}{chr(plane + 0xFFFF)}" for plane in range(0, 0x110000, 0x10000)
)
_BIDI = "\u202a-\u202e\u2066-\u2069"
_REFUSED = re.compile(f"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f{_BIDI}\ud800-\udfff{_NONCHARACTERS}]")
# Byte order marks, zero-width spaces and word joiners arrive with text pasted from the web: nobody means them.
_UNSEEN = re.compile("[\ufeff\u200b\u2060]")
# Joiners and direction marks belong inside words of some scripts, but text of nothing else is empty to its reader.
_JOINERS = "\u200c\u200d\u200e\u200f"
_LINE_ENDS = re.compile("\r\n?|[\u2028\u2029]")


class InvalidText(ValueError):
    """The text can't be kept; `code` is `text_character` or `text_too_long`, `message` says what would be right."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


def clean(text: str, *, max_length: int, multiline: bool = False) -> str:
    """The text as it is kept: NFC, without surrounding space, at most `max_length` characters (code points).

    Single-line text has each run of whitespace, line ends included, folded to one space;
    multi-line text keeps its spacing and has its line ends made newlines.
    Every script and emoji is fine, with the joiners they need (U+200C, U+200D) and direction marks (U+200E, U+200F).
    Private-use characters are kept too: some Chinese names have no other code point in older systems.
    "" means that nothing was left to read; whether that will do is the caller's to say.

    Raises InvalidText for what a reader can't see or a database can't hold: control characters, lone surrogates,
    noncharacters, and the bidirectional controls that make text read as something else (CVE-2021-42574).
    """
    if refused := _REFUSED.search(text):
        raise _refused_character(refused)
    if not text.isascii():
        text = unicodedata.normalize("NFC", _UNSEEN.sub("", text))
    text = _LINE_ENDS.sub("\n", text).strip() if multiline else " ".join(text.split())
    if len(text) > max_length:
        raise InvalidText(
            "text_too_long", f"The text is {len(text)} characters long; at most {max_length} are allowed. Shorten it."
        )
    return text if text.isascii() or text.strip(_JOINERS + " \t\n") else ""


def _refused_character(found: re.Match[str]) -> InvalidText:
    code = ord(found[0])
    if unicodedata.category(found[0]) == "Cc":
        kind = "a control character"
    elif 0xD800 <= code <= 0xDFFF:
        kind = "half of a surrogate pair"
    elif 0x202A <= code <= 0x2069:
        kind = "a control that reverses the direction of text"
    else:
        kind = "not a character in Unicode"
    return InvalidText(
        "text_character",
        f"The text has U+{code:04X} at position {found.start() + 1}, which is {kind}. "
        "Only characters that can be seen, spaces and line ends are allowed: remove it.",
    )


# Letters that Unicode doesn't split into a base letter and a mark, as people without the key for them type them.
_UNSPLIT = {
    "ø": "o", "ł": "l", "đ": "d", "ð": "d", "þ": "th", "æ": "ae", "œ": "oe", "ı": "i",
    "ħ": "h", "ŧ": "t", "ŋ": "ng", "ɓ": "b", "ɗ": "d", "ƙ": "k", "ə": "e",
}  # fmt: skip
# Dropped, not made spaces, so that O'Brien, O’Brien and OBrien are one name, as are Hawai'i and Hawaiʻi.
_APOSTROPHES = frozenset("'`‘’‛′ʹʻʼʽʾʿˈ")
_ASCII = {code: chr(code) if chr(code).isalnum() else " " for code in range(128)} | {ord("'"): None, ord("`"): None}


class _Folding(dict[int, str | None]):
    """What each decomposed character folds to, worked out when first met; None drops it."""

    def __missing__(self, code: int) -> str | None:
        folded = _folded_character(chr(code))
        if code < 0x10000:  # the rest is rare, and a hostile text must not fill the memory
            self[code] = folded
        return folded


def _folded_character(character: str) -> str | None:
    mark = unicodedata.combining(character)
    # Combining classes (Unicode 16, section 4.3). Accents, overlays and the vowel points that Hebrew and Arabic leave
    # out at will are dropped. Other marks (Indic vowels, Thai tones, kana voicing) tell one name from another: kept.
    if mark == 1 or 10 <= mark <= 36 or mark >= 200:
        return None
    category = unicodedata.category(character)
    if category == "Cf" or character in _APOSTROPHES:
        return None
    if character.isalnum() or category in ("Mn", "Mc"):
        return _UNSPLIT.get(character, character)
    return " "


_FOLDING = _Folding()


def fold(text: str) -> str:
    """The text as it is compared and searched: "Renée O’Connor-Smith" -> "renee oconnor smith".

    Case, accents (Māori macrons among them) and apostrophes are gone, compatibility forms (full-width, ligatures) are
    plain, and whatever is neither letter nor digit is one space between words. "" when there is no letter or digit.
    May be longer than the text ("ß" -> "ss"). Folding what is folded changes nothing. Never raises.
    """
    if text.isascii():
        return " ".join(text.lower().translate(_ASCII).split())
    # Twice decomposed: case folding composes some letters, and compatibility forms hide capitals ("ℌ").
    # The acute accent typed for an apostrophe goes first: it decomposes to a space and a mark.
    decomposed = unicodedata.normalize("NFKD", text.replace("´", ""))
    decomposed = unicodedata.normalize("NFKD", decomposed.casefold())
    return " ".join(unicodedata.normalize("NFC", decomposed.translate(_FOLDING)).split())


def words(text: str) -> list[str]:
    """The folded words of a text, in order."""
    return fold(text).split()
