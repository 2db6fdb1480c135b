"""Command-line flags made from dataclass fields, so that a new field is a flag at once. Every problem is
collected.

argparse only splits the command line here: it would stop at the first bad value, and a person who mistyped
three flags should hear of three.
"""

from __future__ import annotations

import argparse
import difflib
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import MISSING, Field, dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any, NoReturn

from memory_study import identity
from memory_study.config import flag as flag_of

Parser = Callable[[Sequence[str]], Any]
"""Turns the words after a flag into its value. Raises ValueError, one line, or :class:`InputError` for
several.
"""


class InputError(Exception):
    """The user asked for something that cannot be done. A line of ``problems`` is a rule, a value and a next
    step.
    """

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = list(dict.fromkeys(problems))
        super().__init__("; ".join(self.problems))


@dataclass(frozen=True, slots=True)
class Flag:
    """One flag. ``default`` is shown in ``--help``; ``parse`` makes the value; switches take no words."""

    name: str
    group: str
    help: str
    default: Any
    parse: Parser
    metavar: str

    @property
    def text(self) -> str:
        """How it is written: ``--train-size``."""
        return flag_of(self.name)


def option(default: Any, help: str, parse: Parser | None = None, metavar: str = "") -> Any:
    """A dataclass field that is a flag. Without ``parse``, the type of ``default`` decides."""
    metadata = {"help": help, "parse": parse, "metavar": metavar}
    return field(default=default, metadata=metadata)


def flags_of(fields: Iterable[Field[Any]], group: str) -> list[Flag]:
    """The flags of those dataclass fields that carry a ``help`` text."""
    return [
        Flag(
            name=f.name,
            group=group,
            help=f.metadata["help"],
            default=None if f.default is MISSING else f.default,
            parse=f.metadata.get("parse") or _parser_of(f),
            metavar=f.metadata.get("metavar") or metavar_of(f.default),
        )
        for f in fields
        if "help" in f.metadata
    ]


def _parser_of(field: Field[Any]) -> Parser:
    """How words become a value of the field's type, as far as its default tells."""
    if field.type == "tuple[str, ...]":
        return words_of(str)
    match field.default:
        case bool():
            return _switch
        case int():
            return one(whole_number)
        case float():
            return one(number)
        case Path():
            return one(path)
        case tuple():
            return lambda words: identity.parse_integers(",".join(words))
        case _:
            return one(str)


def metavar_of(default: Any) -> str:
    """What stands for the value in ``--help``."""
    match default:
        case bool():
            return ""
        case int():
            return "N"
        case float():
            return "X"
        case tuple():
            return "N ..."
        case Path():
            return "PATH"
        case _:
            return "TEXT"


def one(convert: Callable[[str], Any]) -> Parser:
    """A parser for flags that take exactly one word."""

    def parse(words: Sequence[str]) -> Any:
        if len(words) != 1:
            raise ValueError(
                f"takes one value, not {len(words)}" + (f" ({' '.join(words)})" if words else "; add it")
            )
        return convert(words[0])

    return parse


def whole_number(text: str) -> int:
    """Raises ValueError for anything else."""
    try:
        return int(text)
    except ValueError:
        raise ValueError(f"{text!r} is not a whole number; write it as 128") from None


def number(text: str) -> float:
    """A finite number. Raises ValueError for anything else."""
    try:
        value = float(text)
    except ValueError:
        raise ValueError(f"{text!r} is not a number; write it as 0.01") from None
    if not math.isfinite(value):
        raise ValueError(f"{text!r} is not finite; write it as 0.01")
    return value


def positive_whole_number(text: str) -> int:
    """A whole number of at least 1. Raises ValueError for anything else."""
    value = whole_number(text)
    if value < 1:
        raise ValueError(f"{value} is too small; use 1 or more")
    return value


def path(text: str) -> Path:
    """A path, with ``~`` expanded. Raises ValueError for an empty one."""
    if not text.strip():
        raise ValueError("is empty; name a folder")
    return Path(text).expanduser()


def known(*allowed: str) -> Callable[[str], str]:
    """What gives back a word out of ``allowed``, and raises ValueError, naming them, for any other."""

    def convert(text: str) -> str:
        if text not in allowed:
            raise ValueError(f"{text!r} is not known; choose from {', '.join(allowed)}")
        return text

    return convert


def choice(*allowed: str) -> Parser:
    """A parser for one word out of ``allowed``."""
    return one(known(*allowed))


def words_of(convert: Callable[[str], Any]) -> Parser:
    """A parser for one word or more, given apart or with commas: ``0 1 2`` and ``0,1,2`` are the same."""

    def parse(words: Sequence[str]) -> tuple[Any, ...]:
        parts = [part for word in words for part in word.split(",") if part.strip()]
        if not parts:
            raise ValueError("needs at least one value; add it")
        values = [convert(part.strip()) for part in parts]
        twice = sorted({str(value) for value in values if values.count(value) > 1})
        if twice:
            raise ValueError(f"names {', '.join(twice)} more than once; give each value once")
        return tuple(values)

    return parse


def parse_arguments(
    flags: Sequence[Flag], argv: Sequence[str], program: str, header: str
) -> tuple[Mapping[str, Any], list[str]]:
    """Values of the flags that ``argv`` gives, by name, and a line for each problem. ``--help`` prints and
    exits 0.
    """
    parser = _argument_parser(flags, program, header)
    try:
        given, extra = parser.parse_known_args(list(argv))
    except ValueError as error:
        return {}, [str(error)]
    known = [flag.text for flag in flags]
    # Words after an unknown flag were meant for it, and are no second mistake.
    problems = [
        _unknown(w, known) for before, w in pairwise(["--", *extra]) if w.startswith("-") or before == "--"
    ]
    values: dict[str, Any] = {}
    for flag in flags:
        words = getattr(given, flag.name)
        if words is None:
            continue
        try:
            if not isinstance(words, bool) and len(words) > 1:
                raise ValueError(f"is given {len(words)} times; give it once")
            values[flag.name] = words if isinstance(words, bool) else flag.parse(words[0])
        except InputError as error:
            problems += error.problems
        except ValueError as error:
            problems.append(f"{flag.text} {error}")
    return values, problems


def _switch(words: Sequence[str]) -> bool:
    raise AssertionError("argparse reads switches")


def _unknown(word: str, known: Sequence[str]) -> str:
    if not word.startswith("-"):
        return f"{word!r} belongs to no flag; see --help"
    name = word.partition("=")[0]
    close = difflib.get_close_matches(name, known, n=1)
    return f"{name} is not a flag of this sweep; " + (f"did you mean {close[0]}?" if close else "see --help")


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise ValueError(f"{message}; see --help")


class _Format(argparse.RawDescriptionHelpFormatter):
    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=32, width=110)

    def _format_args(self, action: argparse.Action, default_metavar: str) -> str:
        return (
            action.metavar
            if isinstance(action.metavar, str)
            else super()._format_args(action, default_metavar)
        )


def _argument_parser(flags: Sequence[Flag], program: str, header: str) -> argparse.ArgumentParser:
    parser = _Parser(
        prog=program,
        usage="%(prog)s [flags]",
        description=header,
        formatter_class=_Format,
        allow_abbrev=False,
        add_help=False,
    )
    groups: dict[str, argparse._ArgumentGroup] = {}
    for flag in flags:
        group = groups.setdefault(flag.group, parser.add_argument_group(flag.group))
        if flag.parse is _switch:
            action = argparse.BooleanOptionalAction if flag.default else "store_true"
            group.add_argument(flag.text, dest=flag.name, action=action, default=None, help=flag.help)
        else:
            group.add_argument(
                flag.text,
                dest=flag.name,
                action="append",
                nargs="*",
                metavar=flag.metavar,
                help=_help(flag).replace("%", "%%"),
            )
    next(iter(groups.values())).add_argument("--help", "-h", action="help", help="show this and end")
    return parser


def _help(flag: Flag) -> str:
    text = shown(flag.default)
    return flag.help + (f" ({text})" if text else "")


def shown(default: Any) -> str:
    """A default as ``--help`` shows it; nothing for none."""
    match default:
        case None | () | "":
            return ""
        case ((str(), tuple()), *_):
            return " ".join(f"{kind}={shown(grid)}" for kind, grid in default)
        case (int(first), int(second), *_, int(last)) if (
            default == tuple(range(first, last + 1)) and len(default) > 6
        ):
            return f"{first},{second},...,{last}"
        case tuple():
            return ",".join(map(str, default))
        case _:
            return identity.to_text(default)
