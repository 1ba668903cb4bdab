"""The exception for mistakes of a user; the command line prints it without a traceback."""

import difflib
import sysconfig
import traceback
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from numbers import Integral, Real
from pathlib import Path
from typing import Any

_PACKAGE = str(Path(__file__).parent)


class MemUPError(ValueError):
    """Bad input or configuration. The message says what was wrong, with the value, and what to do."""


def check_at_least(minimum: int, **values: Any) -> None:
    """Refuse the first of some settings that is no number or below a minimum; None is not compared.

    Raises:
        MemUPError: with the setting's name and value.
    """
    for name, value in values.items():
        if value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, Real):
            raise MemUPError(f"{name}={value!r}: must be a number")
        if value < minimum:
            raise MemUPError(f"{name}={value}: must be at least {minimum}")


def check_counts(minimum: int, **values: Any) -> None:
    """Refuse the first of some settings that is no whole number or below a minimum; None is not compared.

    Raises:
        MemUPError: with the setting's name and value.
    """
    for name, value in values.items():
        if value is not None and (isinstance(value, bool) or not isinstance(value, Integral)):
            raise MemUPError(f"{name}={value!r}: must be a whole number")
    check_at_least(minimum, **values)


def check_effect(name: str, value: Any, default: Any, why: str, instead: str = "leave it out") -> None:
    """Refuse a setting that is not its default where it has no effect; to be called there.

    Args:
        name: of the setting.
        value: of it.
        default: of it.
        why: it has no effect, the end of the sentence.
        instead: what to do.

    Raises:
        MemUPError: see above.
    """
    if value != default:
        raise MemUPError(f"{name}={value} has no effect {why}; {instead}")


def check_instance(key: str, part: Any, base: type) -> None:
    """Refuse a class where an object of it is needed.

    Args:
        key: argument that it was given by.
        part: what was given.
        base: class that the object must be of.

    Raises:
        MemUPError: see above.
    """
    if not isinstance(part, base):
        given = f"{part.__name__} is a class" if isinstance(part, type) else f"{part!r:.80} is no {base.__name__}"
        advice = f"{part.__name__}(...)" if isinstance(part, type) else f"an object of a subclass of {base.__name__}"
        raise MemUPError(f"{key}={given}; give {advice}")


def counted(number: int, noun: str) -> str:
    """Return a number with what is counted, in the plural unless it is one: ``1 class``, ``2,000 classes``."""
    if number == 1:
        return f"1 {noun}"
    if noun.endswith("s"):
        noun += "e"
    elif noun.endswith("y") and noun[-2] not in "aeo":  # arrays, keys
        noun = noun[:-1] + "ie"
    return f"{number:,} {noun}s"


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return the question for the nearest of the known names, or nothing."""
    near = difflib.get_close_matches(name, list(known), n=1)
    return f"did you mean {near[0]!r}?" if near else ""


def no_such_name(source: str, name: str, known: Iterable[str]) -> str:
    """Say that a file or table has no column or array of a name, which one is near, and which it has."""
    known = list(known)
    question = did_you_mean(name, known)
    held = ", ".join(map(repr, known)) or "nothing"
    return f"{source} has no {name!r}; {f'{question} It' if question else 'it'} holds {held}"


@contextmanager
def user_code(what: str, contract: str) -> Iterator[None]:
    """Turn any error of a function or class that the user gave into one that says what failed and where.

    Args:
        what: what is called, the subject of the sentence.
        contract: what it takes and returns.

    Raises:
        MemUPError: see above.
    """
    try:
        yield
    except MemUPError:
        raise
    except Exception as error:
        raise MemUPError(f"{what} failed: {describe_error(error)}; {contract}") from error


def describe_error(error: BaseException) -> str:
    """Return the type and message of an error, and the last place outside of this package, libraries and Python."""
    places = [place for place in traceback.extract_tb(error.__traceback__) if not _is_library(place.filename)]
    where = f" ({Path(places[-1].filename).name}, line {places[-1].lineno})" if places else ""
    return f"{type(error).__name__}: {' '.join(str(error).split())}{where}"


def _is_library(filename: str) -> bool:
    library = ("<", sysconfig.get_path("stdlib"), sysconfig.get_path("purelib"), _PACKAGE)
    return filename.startswith(library)
