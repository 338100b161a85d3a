"""Settings declared once: one frozen dataclass a task, from which everything else is generated.

    @dataclass(frozen=True)
    class DetectionSettings(Settings):
        score: float = setting(0.3, label="Score", help="Hide weaker detections.", minimum=0, maximum=1, step=0.01)

Widgets read ``DetectionSettings.fields_of()``, the command line ``add_arguments`` and ``from_arguments``, the page's
address ``to_query`` and ``from_query``, the API and tests ``from_mapping``. Every instance is valid: its values are
checked when it is built, however it is built.
"""

from __future__ import annotations

import argparse
import dataclasses
import difflib
import math
import numbers
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal, TypeVar, get_type_hints

from cvdemo.core.errors import SettingsError

Kind = Literal["float", "int", "bool", "choice", "choices"]
S = TypeVar("S", bound="Settings")

_METADATA_KEY = "cvdemo.setting"
_KINDS: dict[Any, Kind] = {float: "float", int: "int", bool: "bool", str: "choice", tuple[str, ...]: "choices"}
_TRUE, _FALSE = ("1", "true", "yes", "on"), ("0", "false", "no", "off")


def setting(
    default: Any,
    *,
    label: str,
    help: str,
    minimum: float | None = None,
    maximum: float | None = None,
    step: float | None = None,
    choices: tuple[str, ...] | None = None,
    network: bool = False,
    advanced: bool = False,
) -> Any:
    """Declare one field of a :class:`Settings` dataclass.

    Args:
        default: also the value a page or command starts with; must itself be valid.
        label: the widget's caption, sentence case. help: one sentence for tooltips and ``--help``.
        minimum, maximum: inclusive range of a number, None for open. step: of its slider; values between steps are
            valid.
        choices: what a str may be, or what a tuple[str, ...] may hold; without commas.
        network: changing it means running the network again (else only decoding).
        advanced: the widget is shown under "More".
    """
    given = {"label": label, "help": help, "minimum": minimum, "maximum": maximum, "step": step, "choices": choices,
             "network": network, "advanced": advanced}  # fmt: skip
    return dataclasses.field(default=default, metadata={_METADATA_KEY: given})


def borrowed(settings: type[Settings], name: str, **changes: Any) -> Any:
    """Declare a field as ``settings`` declares its own of that name, with changes such as another ``help``.

    For a view that has one of the task's settings on a slider of its own. KeyError where there is none of that name.
    """
    field = {field.name: field for field in dataclasses.fields(settings)}[name]
    given = {**field.metadata[_METADATA_KEY], **changes}
    return dataclasses.field(default=given.pop("default", field.default), metadata={_METADATA_KEY: given})


@dataclasses.dataclass(frozen=True)
class SettingField:
    """One declared setting, as widgets and tests read it; ``kind`` says which values and which widget fit."""

    name: str
    kind: Kind
    default: Any
    label: str
    help: str
    minimum: float | None = None
    maximum: float | None = None
    step: float | None = None
    choices: tuple[str, ...] | None = None
    network: bool = False
    advanced: bool = False

    @property
    def flag(self) -> str:
        """The command-line option: "score_threshold" is ``--score-threshold``."""
        return "--" + self.name.replace("_", "-")

    def allowed(self) -> str:
        """The valid values in words, for messages and help: "a number from 0 to 1"."""
        if self.kind == "bool":
            return "true or false"
        if self.kind in ("choice", "choices"):
            names = ", ".join((self.choices or ())[:8]) + (", ..." if len(self.choices or ()) > 8 else "")
            return f"one of {names}" if self.kind == "choice" else f"any of {names}"
        noun = "a number" if self.kind == "float" else "a whole number"
        if self.minimum is not None and self.maximum is not None:
            return f"{noun} from {self.minimum:g} to {self.maximum:g}"
        if self.minimum is not None:
            return f"{noun} of at least {self.minimum:g}"
        return f"{noun} of at most {self.maximum:g}" if self.maximum is not None else noun

    def refuse(self, value: Any, hint: str = "") -> SettingsError:
        """The error for a value this setting cannot take."""
        shown = repr(value)
        shown = shown if len(shown) <= 60 else shown[:57] + "..."
        return SettingsError(f"{self.label} ({self.name}) cannot be {shown}.", hint=hint or f"Use {self.allowed()}.")

    def check(self, value: Any) -> Any:
        """The value in its canonical Python type, or SettingsError.

        Numbers may come as any numeric type (an int setting takes 3.0, a float setting 3) but not as text or bool;
        a multiple choice is put into the order of the declaration without repeats.
        """
        if self.kind == "bool":
            if isinstance(value, bool) or type(value).__name__ in ("bool", "bool_"):  # numpy's, without importing it
                return bool(value)
            raise self.refuse(value)
        if self.kind == "choice":
            return self._check_choice(value)
        if self.kind == "choices":
            if isinstance(value, str) or not isinstance(value, Iterable):
                raise self.refuse(value)
            named = {self._check_choice(item) for item in value}
            return tuple(choice for choice in self.choices or () if choice in named)
        return self._check_number(value)

    def _check_number(self, value: Any) -> float | int:
        try:
            number = float(value) if isinstance(value, numbers.Real) and not isinstance(value, bool) else math.nan
        except OverflowError:  # a whole number beyond the range of float
            number = math.inf
        if not math.isfinite(number) or (self.kind == "int" and not number.is_integer()):
            raise self.refuse(value)
        below = self.minimum is not None and number < self.minimum
        if below or (self.maximum is not None and number > self.maximum):
            raise self.refuse(value)
        return int(number) if self.kind == "int" else number

    def _check_choice(self, value: Any) -> str:
        choices = self.choices or ()
        if isinstance(value, str) and value in choices:
            return value
        near = difflib.get_close_matches(value, choices, n=1) if isinstance(value, str) else []
        raise self.refuse(value, f"Did you mean {near[0]}?" if near else "")

    def parse(self, text: str) -> Any:
        """A checked value from text (a flag's argument, a query parameter); inverse of :meth:`format`."""
        word = text.strip()
        if self.kind == "bool":
            if word.lower() not in _TRUE + _FALSE:
                raise self.refuse(text)
            return word.lower() in _TRUE
        if self.kind == "choice":
            return self.check(word)
        if self.kind == "choices":
            return self.check([item.strip() for item in word.split(",") if item.strip()])
        try:
            return self.check(int(word) if self.kind == "int" else float(word))
        except ValueError as error:
            raise self.refuse(text) from error

    def format(self, value: Any) -> str:
        """The shortest text that :meth:`parse` reads back exactly."""
        if self.kind == "bool":
            return "1" if value else "0"
        return ",".join(value) if self.kind == "choices" else str(value)


_declared: dict[type, tuple[SettingField, ...]] = {}


def _fields(cls: type) -> tuple[SettingField, ...]:
    hints = get_type_hints(cls)
    found = []
    for field in dataclasses.fields(cls):
        where = f"{cls.__name__}.{field.name}"
        given = field.metadata.get(_METADATA_KEY)
        kind = _KINDS.get(hints[field.name])
        if given is None or kind is None:
            raise TypeError(f"{where} must be declared with setting(...) as float, int, bool, str or tuple[str, ...]")
        if (kind in ("choice", "choices")) != (given["choices"] is not None):
            raise TypeError(f"{where}: text settings need choices, and only they have them")
        if any("," in choice for choice in given["choices"] or ()):
            raise TypeError(f"{where}: choices must not contain commas")
        declared = SettingField(field.name, kind, field.default, **given)
        try:
            default = declared.check(field.default)
        except SettingsError as error:
            raise TypeError(f"{where}: the default is not valid: {error}") from error
        found.append(dataclasses.replace(declared, default=default))
    return tuple(found)


@dataclasses.dataclass(frozen=True)
class Settings:
    """Base of every task's settings. Building one with an unusable value raises SettingsError."""

    def __post_init__(self) -> None:
        for field in self.fields_of():
            object.__setattr__(self, field.name, field.check(getattr(self, field.name)))

    @classmethod
    def fields_of(cls) -> tuple[SettingField, ...]:
        """The declared settings in order. TypeError if the declaration itself is wrong."""
        if cls not in _declared:
            _declared[cls] = _fields(cls)
        return _declared[cls]

    @classmethod
    def from_mapping(cls: type[S], mapping: Mapping[str, Any], strict: bool = True, *, base: S | None = None) -> S:
        """From values by name; missing ones are taken from ``base``, or are the declared defaults.

        Args:
            strict: an unknown name or unusable value raises SettingsError naming it; otherwise it is passed over.
        """
        fields = {field.name: field for field in cls.fields_of()}
        values: dict[str, Any] = {}
        for name, value in mapping.items():
            if name in fields:
                values.update(_accepted(fields[name], fields[name].check, value, strict))
            elif strict:
                raise _unknown(name, list(fields))
        return cls._over(base, values)

    @classmethod
    def _over(cls: type[S], base: S | None, values: dict[str, Any]) -> S:
        return cls(**values) if base is None else dataclasses.replace(base, **values)

    def to_dict(self) -> dict[str, Any]:
        """All values by name, ready for JSON (a multiple choice as a list); ``from_mapping`` reads it back."""
        values = {field.name: getattr(self, field.name) for field in self.fields_of()}
        return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}

    def to_query(self: S, *, base: S | None = None) -> dict[str, str]:
        """The values that differ from ``base`` (or from the declared defaults), as text for the page's address."""
        base = base or type(self)()
        return {
            field.name: field.format(getattr(self, field.name))
            for field in self.fields_of()
            if getattr(self, field.name) != getattr(base, field.name)
        }

    @classmethod
    def from_query(cls: type[S], mapping: Mapping[str, str], *, base: S | None = None) -> S:
        """From a page's address, which anybody may have edited: what is unusable is passed over."""
        values: dict[str, Any] = {}
        for field in cls.fields_of():
            text = mapping.get(field.name)
            if isinstance(text, str):
                values.update(_accepted(field, field.parse, text, strict=False))
        return cls._over(base, values)

    @classmethod
    def add_arguments(cls, parser: argparse.ArgumentParser) -> None:
        """Add one option per setting: ``--score 0.3``, ``--labels`` / ``--no-labels``, ``--classes dog,cat``."""
        group = parser.add_argument_group("settings")
        for field in cls.fields_of():
            if field.kind == "bool":
                text = f"{field.help} (default: {'on' if field.default else 'off'})".replace("%", "%%")
                group.add_argument(field.flag, dest=field.name, action=argparse.BooleanOptionalAction, help=text)
                continue
            default = field.format(field.default) or "none"
            text = f"{field.help} ({field.allowed()}; default: {default})".replace("%", "%%")
            metavar = {"float": "NUMBER", "int": "N", "choice": "NAME", "choices": "NAME[,NAME]"}[field.kind]
            group.add_argument(field.flag, dest=field.name, type=_reader(field), metavar=metavar, help=text)

    @classmethod
    def from_arguments(cls: type[S], namespace: argparse.Namespace, *, base: S | None = None) -> S:
        """From what a parser prepared by :meth:`add_arguments` returned; others are ``base``'s or default."""
        given = {field.name: getattr(namespace, field.name, None) for field in cls.fields_of()}
        return cls.from_mapping({name: value for name, value in given.items() if value is not None}, base=base)


def _accepted(field: SettingField, read: Callable[[Any], Any], value: Any, strict: bool) -> dict[str, Any]:
    try:
        return {field.name: read(value)}
    except SettingsError:
        if strict:
            raise
        return {}


def _reader(field: SettingField) -> Callable[[str], Any]:
    def read(text: str) -> Any:
        try:
            return field.parse(text)
        except SettingsError as error:
            raise argparse.ArgumentTypeError(str(error)) from error

    return read


def _unknown(name: Any, known: list[str]) -> SettingsError:
    near = difflib.get_close_matches(str(name), known, n=1)
    hint = f"Did you mean {near[0]}?" if near else f"There are {', '.join(known) or 'none'}."
    return SettingsError(f"There is no setting called {str(name)[:60]!r}.", hint=hint)
