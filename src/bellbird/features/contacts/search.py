"""What a person typed in a search box, as conditions: the best kind of match first.

A word matches the beginning of any word of the names, company, job title or e-mail addresses.
A word of four letters or more may have one typo (a letter wrong, missing, too many, or two swapped);
one of six or more may be the beginning of a word even so. Typos are forgiven only where fewer than five match as typed.
Anything that looks like a telephone number, or a part of one, matches numbers in every format.

All of these words stand together in one column. Where some are hidden from whoever asks, a match must also be found in
what is shown: words in what a contact is called, addresses and numbers in those alone.
"""

from dataclasses import dataclass, replace
from typing import Final

from bellbird.core import phones, text
from bellbird.core.errors import InvalidInput
from bellbird.core.filters import Params
from bellbird.core.tenants import TenantSettings
from bellbird.core.text import InvalidText
from bellbird.features.contacts import rules
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
    """One kind of match, as SQL; a guess forgives typos. `key` is what it is sorted by, if not by the list's own."""

    sql: str
    is_guess: bool = False
    key: str | None = None


EVERYTHING: Final = (Kind("true"),)
NOTHING: Final = (Kind("false"),)

# What search_text is made of (cleaning.search_text).
SEARCHED: Final = rules.NAMING | {"display_name", "job_title"}

_NONE: Final[frozenset[str]] = frozenset()


def ask(q: str, settings: TenantSettings, params: Params, hidden: frozenset[str] = _NONE) -> tuple[Kind, ...]:
    """The kinds of match for a question, best first; none includes another's rows, nor draws on what is hidden.

    Raises InvalidInput for a question that nothing could match.
    """
    try:
        q = text.clean(q, max_length=MAX_QUESTION)
    except InvalidText as error:
        raise InvalidInput.at("q", str(error), code=error.code) from None
    if hidden & SEARCHED:
        return _ask_shown(q, settings, params, hidden)
    if phones.looks_like_number(q):
        return _numbers(q, settings, params)
    if "@" in q:
        return _emails(q, params)
    return _words(_read(q), params)


def _read(q: str) -> list[str]:
    words = text.words(q)[:MAX_WORDS]
    if not words:
        raise InvalidInput.at("q", f"must have a letter or a digit to look for, not {q!r}")
    return words


def _numbers(q: str, settings: TenantSettings, params: Params) -> tuple[Kind, ...]:
    meant = _meant(q, settings)
    exact = f"phone_numbers && {params.add(list(meant))}::text[]"
    part = f"search_text like {params.add(f'%{phones.digits(q)}%')}"
    return (Kind(exact), Kind(f"{part} and not {exact}")) if meant else (Kind(part),)


def _emails(q: str, params: Params) -> tuple[Kind, ...]:
    key = q.casefold()
    whole = f"email_addresses @> array[{params.add(key)}]::text[]"
    start = f"search_text like {params.add(f'% {escape_like(key)}%')}"
    return Kind(whole), Kind(f"{start} and not {whole}")


def _meant(q: str, settings: TenantSettings) -> tuple[str, ...]:
    return phones.candidates(
        q, default_region=settings.default_region, allowed_regions=settings.allowed_regions or None
    )


def _called(words: list[str], params: Params) -> str:
    """That what a contact is called begins so."""
    start = " ".join(words)
    return f"name_key >= {params.add(start)} and name_key < {params.add(start + _LAST)}"


def _words(words: list[str], params: Params) -> tuple[Kind, ...]:
    called = _called(words, params)
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


def _ask_shown(q: str, settings: TenantSettings, params: Params, hidden: frozenset[str]) -> tuple[Kind, ...]:
    """The kinds of match where search_text has words that are hidden: it only helps to find rows, and decides nothing.

    Typos are not forgiven: what is nearly found in search_text may be a word that is hidden.
    """
    if "phones" not in hidden and phones.looks_like_number(q):
        return _sorted_by_shown_name(_shown_numbers(q, settings, params), hidden)
    if "emails" not in hidden and "@" in q:
        return _sorted_by_shown_name(_shown_emails(q, params), hidden)
    words = _read(q)
    if "display_name" in hidden:
        return NOTHING
    secret = rules.secret_name(hidden)
    among = f" and not {secret}" if secret else ""
    called = _called(words, params)
    has = " and ".join(
        f"search_text like {word} and ' ' || name_key like {word}"
        for word in [params.add(f"% {word}%") for word in words]
    )
    return Kind(called + among), Kind(f"{has} and not ({called}){among}")


# What a person may type a part of to find a number, as core/phones.py has it of the numbers of AU and NZ.
_DIALLED: Final = r"""concat_ws(' ', substr(number, 2),
  case when number ~ '^\+(64|61(?!1[389]))' then '0' || substr(number, 4) end)"""


def _shown_numbers(q: str, settings: TenantSettings, params: Params) -> tuple[Kind, ...]:
    exact = f"phone_numbers && {params.add(list(_meant(q, settings)))}::text[]"
    digits = params.add(f"%{phones.digits(q)}%")
    part = f"exists (select from unnest(phone_numbers) as number where {_DIALLED} like {digits})"
    return Kind(exact), Kind(f"search_text like {digits} and {part} and not {exact}")


def _shown_emails(q: str, params: Params) -> tuple[Kind, ...]:
    whole, start = _emails(q, params)
    # The word before an address in search_text may be one that is hidden, and the question may have it.
    begins = f"each like {params.add(f'{escape_like(q.casefold())}%')}"
    return whole, Kind(f"{start.sql} and exists (select from unnest(email_addresses) as each where {begins})")


def _sorted_by_shown_name(kinds: tuple[Kind, ...], hidden: frozenset[str]) -> tuple[Kind, ...]:
    """Whoever is found by what is shown may have a name that is not: the order must not tell it, nor a cursor."""
    if "display_name" in hidden:
        return tuple(replace(kind, key=rules.NAMELESS) for kind in kinds)
    secret = rules.secret_name(hidden)
    key = f"(case when {secret} then '' else name_key end)" if secret else None
    return tuple(replace(kind, key=key) for kind in kinds)


def by_shown_name(hidden: frozenset[str]) -> tuple[Kind, ...]:
    """A list by name: those whose name is hidden come last, in an order that does not tell it."""
    secret = rules.secret_name(hidden)
    return (Kind(f"not {secret}"), Kind(secret, key=rules.NAMELESS)) if secret else EVERYTHING


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
