"""Dates as people write them, and the same by ISO 8601: the two languages of `translate.py`."""

from __future__ import annotations

import datetime

import numpy as np

FIRST, LAST = datetime.date(1900, 1, 1).toordinal(), datetime.date(2099, 12, 31).toordinal()
MONTHS = (
    *("january", "february", "march", "april", "may", "june"),
    *("july", "august", "september", "october", "november", "december"),
)
WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
FORMS = (
    "{day}.{month}.{year}",
    "{day:02}/{month:02}/{year}",
    "{short} {day}, {year}",
    "{name} {day}, {year}",
    "{day} {name} {year}",
    "the {day}{th} of {name} {year}",
    "{weekday} {day} {short} {year}",
    "{weekday}, {name} the {day}{th}, {year}",
    "{day}{th} day of {name} in the year {year}",
)


def random_pair(rng: np.random.Generator) -> tuple[str, str]:
    """A date from 1900 to 2099, and its translation: ("the 3rd of june 1998", "1998-06-03")."""
    date = datetime.date.fromordinal(int(rng.integers(FIRST, LAST, endpoint=True)))
    return written(date, FORMS[rng.integers(len(FORMS))]), date.isoformat()


def written(date: datetime.date, form: str) -> str:
    """The date by a form, in lower case."""
    name, weekday = MONTHS[date.month - 1], WEEKDAYS[date.weekday()]
    return form.format(
        day=date.day, month=date.month, year=date.year, name=name, short=name[:3], weekday=weekday, th=_ending(date.day)
    )


def _ending(day: int) -> str:
    """That of an ordinal number: 1st, 2nd, 3rd, 4th, 11th, 21st."""
    return "th" if day in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(day % 10, "th")
