"""What a person typed in a search box, as conditions: the best kind of match first.

A word matches the beginning of any word of the names, company, job title or e-mail addresses.
A word of four letters or more may have one typo (a letter wrong, missing, too many, or two swapped);
one of six or more may be the beginning of a word even so. Typos are forgiven only where fewer than five match as typed.
Anything that looks like a telephone number, or a part of one, matches numbers in every format.
"""

from dataclasses import dataclass
from typing import Final

from bellbird.core import phones, text
from bellbird.core.errors import InvalidInput
from bellbird.core.filters import Params
from bellbird.core.tenants import TenantSettings
from bellbird.core.text import InvalidText
from bellbird.features.contacts.fields import escape_like

MAX_QUESTION: Final = 100
MAX_WORDS: Final = 6
TYPO_FROM: Final = 4
TYPO_TO: Final = 16
BEGINNING_FROM: Final = 6
ENOUGH: Final = 5

# Behind every character of the collation "C": a prefix's matches are those from it up to here.
_LAST = "\U0010ffff"


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of match, as SQL; a guess forgives typos."""

    sql: str
    is_guess: bool = False


EVERYTHING: Final = (Kind("true"),)


def ask(q: str, settings: TenantSettings, params: Params) -> tuple[Kind, ...]:
    """The kinds of match for a question, best first; none includes another's rows.

    Raises InvalidInput for a question that nothing could match.
    """
    try:
        q = text.clean(q, max_length=MAX_QUESTION)
    except InvalidText as error:
        raise InvalidInput.at("q", str(error), code=error.code) from None
    if phones.looks_like_number(q):
        return _numbers(q, settings, params)
    if "@" in q:
        key = q.casefold()
        whole = f"email_addresses @> array[{params.add(key)}]::text[]"
        start = f"search_text like {params.add(f'% {escape_like(key)}%')}"
        return Kind(whole), Kind(f"{start} and not {whole}")
    words = text.words(q)[:MAX_WORDS]
    if not words:
        raise InvalidInput.at("q", f"must have a letter or a digit to look for, not {q!r}")
    return _words(words, params)


def _numbers(q: str, settings: TenantSettings, params: Params) -> tuple[Kind, ...]:
    meant = phones.candidates(
        q, default_region=settings.default_region, allowed_regions=settings.allowed_regions or None
    )
    exact = f"phone_numbers && {params.add(list(meant))}::text[]"
    part = f"search_text like {params.add(f'%{phones.digits(q)}%')}"
    return (Kind(exact), Kind(f"{part} and not {exact}")) if meant else (Kind(part),)


def _words(words: list[str], params: Params) -> tuple[Kind, ...]:
    start = " ".join(words)
    low, high = params.add(start), params.add(start + _LAST)
    called = f"name_key >= {low} and name_key < {high}"
    has = " and ".join(f"search_text like {params.add(f'% {word}%')}" for word in words)
    kinds = [Kind(called), Kind(f"{has} and not ({called})")]
    if any(TYPO_FROM <= len(word) <= TYPO_TO for word in words):
        # The longest word alone goes through the index: two arrays there would be tried in every combination.
        first, *others = sorted(words, key=len, reverse=True)
        nearly = f"search_text like any({params.add(_nearly(first))}::text[])"
        for word in others:
            nearly += f" and (search_text || '') like any({params.add(_nearly(word))}::text[])"
        kinds.append(Kind(f"{nearly} and not ({has}) and not ({called})", is_guess=True))
    return tuple(kinds)


def _nearly(word: str) -> list[str]:
    """LIKE patterns for texts with a word that is `word`, give or take one typo (Damerau-Levenshtein distance 1).

    Of a short word, a typo in the middle leaves the index no three letters in a row but those at the word's end:
    only whole words are looked for. A longer one may be the beginning of a word.
    """
    if not TYPO_FROM <= len(word) <= TYPO_TO:
        return [f"% {word}%"]
    near = [word]
    for at in range(len(word)):
        before, letter, after = word[:at], word[at], word[at + 1 :]
        near += [before + "_" + after, before + after, before + "_" + letter + after]
        if after:
            near.append(before + after[0] + letter + after[1:])
    near.append(word + "_")
    end = "%" if len(word) >= BEGINNING_FROM else " %"
    return [f"% {pattern}{end}" for pattern in dict.fromkeys(near)]
