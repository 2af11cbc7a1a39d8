"""Words and quotes of a line of bash: which words there are, and how one is put in their place.

Nothing is expanded, and nothing executed: ``$(...)`` is five characters like others.
"""

from __future__ import annotations

from typing import NamedTuple

_BLANKS = " \t\n"
_OPERATORS = "<>|&;()"
_ESCAPABLE_IN_DOUBLE_QUOTES = '$`"\\'
_PLAIN = frozenset("_./:=@%+,-")
# What a word within these quotes would not be what it says with; ! is history to a terminal.
_UNSAFE_IN = {"'": "'", '"': '$`"\\!'}


class TypedLine(NamedTuple):
    """A command up to the cursor; the last word is the one that is typed, and may be empty."""

    words: list[str]  # without their quotes
    kept: str  # what bash leaves of the last word, without quotes: it replaces only the rest
    quote: str  # the quote that is open at the cursor, or ""
    is_redirection: bool  # whether the last word is a file

    def to_insert(self, word: str) -> str | None:
        """Return what makes ``word`` of the last one; None where the open quote forbids it."""
        if not word.startswith(self.kept):
            return None
        rest = word[len(self.kept) :]
        if self.quote:
            return None if set(rest) & set(_UNSAFE_IN[self.quote]) else rest
        return "".join(c if c.isalnum() or c in _PLAIN else f"\\{c}" for c in rest)


def parse(text: str, word_breaks: str) -> TypedLine:
    """Part ``text`` as bash does; ``word_breaks`` is COMP_WORDBREAKS, where readline parts it."""
    words, word, kept, kept_outside, quote = [], "", "", "", ""
    in_word = is_redirection = False
    position = 0
    while position < len(text):
        character = text[position]
        following = text[position + 1 : position + 2]
        position += 1
        if quote:
            if character == quote:
                quote, kept = "", kept_outside
            elif quote == '"' and character == "\\" and following in _ESCAPABLE_IN_DOUBLE_QUOTES:
                word += following
                position += 1
            else:
                word += character
            continue
        if character in _BLANKS + _OPERATORS:
            if in_word:
                words.append(word)
                is_redirection = False
            if character in _OPERATORS:
                is_redirection = character in "<>"
            word, kept, in_word = "", "", False
            continue
        in_word = True
        if character in "'\"":
            quote, kept, kept_outside = character, word, kept
        elif character == "\\":
            word += following
            position += 1
        else:
            word += character
            if character in word_breaks:
                kept = word
    return TypedLine([*words, word], kept, quote, is_redirection)
