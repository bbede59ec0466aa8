"""A text that is on every machine that runs these examples: the documentation of Python and NumPy, about 600,000 words.

It is read from docstrings and from the help of Python's interpreter, without the code in them.
"""

from __future__ import annotations

import re
import sysconfig
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from pydoc_data.topics import topics

import numpy as np
import numpy.typing as npt

UNKNOWN = "<unk>"
END = "<eos>"  # of a sentence
NUMBER = "N"

_DOCSTRING = re.compile(r'"""(.*?)"""', re.DOTALL)
_CODE = re.compile(r"^\s*(>>>|\.\.\. |\.\.).*$", re.MULTILINE)
_TOKEN = re.compile(r"(?P<word>[a-z]+(?:'[a-z]+)?)|(?P<number>\d+)|(?P<end>[.?!:](?=\s)|\n\s*\n)")
_NO_DOCUMENTATION = {"test", "tests", "site-packages", "__pycache__", "lib2to3", "turtledemo", "pydoc_data", "_vendor"}


def documents() -> Iterator[str]:
    """The documentation of each module of the standard library and of NumPy, and each topic of `help()`."""
    for root in (Path(sysconfig.get_paths()["stdlib"]), Path(np.__file__).parent):
        for path in sorted(root.rglob("*.py")):
            if not _NO_DOCUMENTATION & set(path.relative_to(root).parts):
                yield "\n\n".join(_DOCSTRING.findall(path.read_text(errors="ignore")))
    yield from topics.values()


def words_of(document: str) -> Iterator[str]:
    """Its words in lower case; numbers are NUMBER, and END stands once after each sentence."""
    last = END
    for found in _TOKEN.finditer(_CODE.sub("", document).lower()):
        word = {"word": found[0], "number": NUMBER, "end": END}[found.lastgroup or ""]
        if word != END or last != END:
            yield word
        last = word
    if last != END:
        yield END


@dataclass(frozen=True)
class Corpus:
    """A text as numbers, int32: `names[number]` is the word. UNKNOWN, the first, stands for all rarer words."""

    names: Sequence[str]
    training: npt.NDArray[np.int32]
    validation: npt.NDArray[np.int32]
    test: npt.NDArray[np.int32]

    @property
    def numbers(self) -> dict[str, int]:
        """The number of each word."""
        return {name: number for number, name in enumerate(self.names)}


def read(vocabulary: int) -> Corpus:
    """The text, with the `vocabulary` - 1 most frequent words; one document in 20 each is for validation and test.

    The documents are shuffled, always in the same way. There may be fewer words than were asked for.
    """
    texts = [list(words_of(document)) for document in documents()]
    np.random.default_rng(0).shuffle(texts)
    count = Counter(word for words in texts for word in words)
    names = [UNKNOWN, *(name for name, _ in count.most_common(vocabulary - 1))]
    numbers = {name: number for number, name in enumerate(names)}

    def joined(part: list[list[str]]) -> npt.NDArray[np.int32]:
        return np.array([numbers.get(word, 0) for words in part for word in words], np.int32)

    held = len(texts) // 20
    return Corpus(names, joined(texts[2 * held :]), joined(texts[:held]), joined(texts[held : 2 * held]))
