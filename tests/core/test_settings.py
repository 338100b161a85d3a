"""Settings: what is refused and how it is said, and round trips through every outside form."""

import argparse
import dataclasses
import json
import math
import random
from dataclasses import dataclass

import numpy as np
import pytest

from cvdemo.core.errors import InputError, SettingsError
from cvdemo.core.settings import Settings, borrowed, setting


@dataclass(frozen=True)
class Sample(Settings):
    score: float = setting(0.3, label="Score", help="Hide below 30 %.", minimum=0, maximum=1, step=0.01)
    count: int = setting(100, label="Most boxes", help="At most so many.", minimum=1, maximum=1000, step=1)
    offset: float = setting(0.0, label="Offset", help="Any number.", advanced=True)
    line_width: int = setting(2, label="Line width", help="Pixels.", minimum=1)
    kind: str = setting("hard", label="Kind", help="Which.", choices=("hard", "soft-linear", "none"), network=True)
    labels: bool = setting(True, label="Labels", help="Write names.")
    halo: bool = setting(False, label="Halo", help="Draw a halo.")
    classes: tuple[str, ...] = setting(
        (), label="Classes", help="Only these.", choices=("person", "traffic light", "dog")
    )
    tags: tuple[str, ...] = setting(("a", "b"), label="Tags", help="Some.", choices=("a", "b", "c"))


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(exit_on_error=False)
    Sample.add_arguments(made)
    return made


def random_sample(seed: int) -> Sample:
    rng = random.Random(seed)
    return Sample(
        score=rng.random(),
        count=rng.randint(1, 1000),
        offset=rng.choice([rng.gauss(0, 1e9), -rng.random() * 1e-12, 0.0]),
        line_width=rng.randint(1, 9),
        kind=rng.choice(["hard", "soft-linear", "none"]),
        labels=rng.random() < 0.5,
        halo=rng.random() < 0.5,
        classes=tuple(name for name in ("person", "traffic light", "dog") if rng.random() < 0.5),
        tags=tuple(name for name in "abc" if rng.random() < 0.5),
    )


# ---------------------------------------------------------------- declaration


def test_fields_carry_what_widgets_need():
    fields = {field.name: field for field in Sample.fields_of()}
    assert list(fields) == [field.name for field in dataclasses.fields(Sample)]
    assert [field.kind for field in fields.values()] == [
        "float", "int", "float", "int", "choice", "bool", "bool", "choices", "choices",
    ]  # fmt: skip
    score = fields["score"]
    assert (score.label, score.minimum, score.maximum, score.step, score.default) == ("Score", 0, 1, 0.01, 0.3)
    assert fields["kind"].network
    assert not score.network
    assert fields["offset"].advanced
    assert fields["line_width"].flag == "--line-width"
    assert Sample.fields_of() is Sample.fields_of()


@pytest.mark.parametrize(
    ("annotation", "default", "options", "words"),
    [
        (float, 2.0, {"maximum": 1}, "default is not valid"),
        (str, "x", {}, "need choices"),
        (float, 1.0, {"choices": ("a",)}, "need choices"),
        (str, "a,b", {"choices": ("a,b",)}, "commas"),
        (list, [], {}, "must be declared"),
        (tuple[str, ...], ("z",), {"choices": ("a",)}, "default is not valid"),
    ],
)
def test_a_wrong_declaration_is_a_type_error(annotation, default, options, words):
    if isinstance(default, list):
        field = dataclasses.field(default_factory=list)
    else:
        field = setting(default, label="L", help="H", **options)
    made = dataclasses.make_dataclass("Wrong", [("value", annotation, field)], bases=(Settings,), frozen=True)
    with pytest.raises(TypeError, match=words):
        made.fields_of()


def test_a_field_without_setting_is_a_type_error():
    made = dataclasses.make_dataclass("Wrong", [("value", float, 1.0)], bases=(Settings,), frozen=True)
    with pytest.raises(TypeError, match=r"Wrong\.value must be declared with setting"):
        made.fields_of()


# ---------------------------------------------------------------- validation


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("score", 1.5, "a number from 0 to 1"),
        ("score", -0.001, "a number from 0 to 1"),
        ("score", math.nan, "nan"),
        ("score", math.inf, "inf"),
        ("score", "0.5", "'0.5'"),
        ("score", True, "True"),
        ("score", None, "None"),
        ("score", [0.5], r"\[0.5\]"),
        ("score", 1j, "1j"),
        ("offset", 10**400, "a number"),
        ("count", 2.5, "a whole number from 1 to 1000"),
        ("count", 0, "a whole number from 1 to 1000"),
        ("count", 1001, "1001"),
        ("count", False, "False"),
        ("count", "7", "'7'"),
        ("line_width", 0, "at least 1"),
        ("kind", "median", "one of hard, soft-linear, none"),
        ("kind", "soft-linea", "Did you mean soft-linear"),
        ("kind", 3, "one of hard"),
        ("kind", None, "None"),
        ("labels", 1, "true or false"),
        ("labels", "true", "true or false"),
        ("labels", None, "true or false"),
        ("classes", "person", "any of person, traffic light, dog"),
        ("classes", ["person", "doge"], "Did you mean dog"),
        ("classes", [1], "any of person"),
        ("classes", None, "any of person"),
        ("classes", 5, "any of person"),
        ("score", "x" * 500, r"\.\.\."),
    ],
)
def test_unusable_values_are_refused_by_name(name, value, words):
    for build in (lambda: Sample.from_mapping({name: value}), lambda: Sample(**{name: value})):
        with pytest.raises(SettingsError, match=words) as caught:
            build()
        label = next(field.label for field in Sample.fields_of() if field.name == name)
        assert f"{label} ({name})" in str(caught.value)
        assert len(str(caught.value)) < 300
        assert isinstance(caught.value, InputError)


def test_unknown_settings_are_refused_with_a_suggestion():
    with pytest.raises(SettingsError, match=r"no setting called 'scor'.*Did you mean score"):
        Sample.from_mapping({"scor": 0.5})
    with pytest.raises(SettingsError, match="There are score, count"):
        Sample.from_mapping({"zzz": 0.5})


def test_lenient_mapping_keeps_the_good_and_passes_over_the_rest():
    values = {"score": 7, "count": 5, "zzz": 1, "kind": None, "classes": ["dog"]}
    assert Sample.from_mapping(values, strict=False) == Sample(count=5, classes=("dog",))


@pytest.mark.parametrize(
    ("name", "value", "canonical"),
    [
        ("score", 1, 1.0),
        ("score", np.float32(0.5), 0.5),
        ("score", np.int64(0), 0.0),
        ("count", 7.0, 7),
        ("count", np.float64(7), 7),
        ("count", np.int16(7), 7),
        ("labels", np.bool_(False), False),
        ("classes", ["dog", "person", "dog"], ("person", "dog")),
        ("classes", {"dog"}, ("dog",)),
        ("classes", [], ()),
    ],
)
def test_equivalent_types_become_one(name, value, canonical):
    stored = getattr(Sample.from_mapping({name: value}), name)
    assert stored == canonical
    assert type(stored) is type(canonical)


def test_limits_are_inclusive():
    assert Sample(score=0, count=1000) == Sample.from_mapping({"score": 0.0, "count": 1000.0})
    assert Sample(score=1.0).score == 1.0


def test_instances_are_frozen_hashable_and_replaceable():
    one = Sample(score=0.5)
    assert hash(one) == hash(Sample(score=0.5))
    assert dataclasses.replace(one, count=3) == Sample(score=0.5, count=3)
    with pytest.raises(SettingsError):
        dataclasses.replace(one, count=0)
    with pytest.raises(dataclasses.FrozenInstanceError):
        one.score = 0.1  # type: ignore[misc]


# ---------------------------------------------------------------- round trips


@pytest.mark.parametrize("seed", range(40))
def test_round_trips(seed):
    sample = random_sample(seed)
    base = random_sample(seed + 1000)
    assert Sample.from_mapping(json.loads(json.dumps(sample.to_dict()))) == sample
    assert Sample.from_query(sample.to_query()) == sample
    assert Sample.from_query(sample.to_query(base=base), base=base) == sample
    flags = []
    for field in Sample.fields_of():
        value = getattr(sample, field.name)
        if field.kind == "bool":
            flags.append(field.flag if value else field.flag.replace("--", "--no-", 1))
        else:
            flags.append(f"{field.flag}={field.format(value)}")
    assert Sample.from_arguments(parser().parse_args(flags)) == sample


def test_query_holds_only_what_differs():
    assert Sample().to_query() == {}
    changed = Sample(score=0.5, labels=False, classes=("person", "traffic light"), tags=())
    assert changed.to_query() == {"score": "0.5", "labels": "0", "classes": "person,traffic light", "tags": ""}
    assert changed.to_query(base=changed) == {}
    assert Sample().to_query(base=changed)["score"] == "0.3"


@pytest.mark.parametrize(
    "query",
    [
        {"score": "nan"},
        {"score": "inf"},
        {"score": "2"},
        {"score": ""},
        {"score": "0,5"},
        {"count": "3.5"},
        {"count": "9" * 5000},
        {"count": "many"},
        {"kind": "<script>"},
        {"labels": "maybe"},
        {"classes": "person,unicorn"},
        {"zzz": "1"},
        {"score": None},
        {"score": ["0.5"]},
    ],
)
def test_a_spoiled_query_falls_back_without_losing_the_rest(query):
    assert Sample.from_query({"line_width": "4", **query}) == Sample(line_width=4)


@pytest.mark.parametrize(("text", "value"), [("1", True), ("true", True), ("On", True), ("0", False), (" no ", False)])
def test_booleans_in_words(text, value):
    assert Sample.from_query({"labels": text, "halo": text}) == Sample(labels=value, halo=value)


# ---------------------------------------------------------------- command line


def test_no_flags_give_the_defaults_or_the_base():
    nothing = parser().parse_args([])
    assert Sample.from_arguments(nothing) == Sample()
    base = Sample(score=0.9, tags=("c",))
    assert Sample.from_arguments(nothing, base=base) == base
    assert Sample.from_arguments(parser().parse_args(["--tags", ""]), base=base) == Sample(score=0.9, tags=())


def test_flags():
    args = [
        "--score",
        "0.5",
        "--no-labels",
        "--halo",
        "--classes",
        "dog, traffic light",
        "--kind",
        "none",
        "--line-width",
        "4",
    ]
    expected = Sample(score=0.5, labels=False, halo=True, classes=("traffic light", "dog"), kind="none", line_width=4)
    assert Sample.from_arguments(parser().parse_args(args)) == expected


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--score", "2"], "a number from 0 to 1"),
        (["--score", "nan"], "nan"),
        (["--count", "many"], "a whole number"),
        (["--kind", "soft"], "Kind \\(kind\\) cannot be 'soft'"),
        (["--classes", "person,unicorn"], "unicorn"),
    ],
)
def test_a_bad_flag_is_explained_by_the_parser(flags, words):
    with pytest.raises(argparse.ArgumentError, match=words):
        parser().parse_args(flags)


def test_help_shows_ranges_defaults_and_percent_signs():
    text = " ".join(parser().format_help().split())
    assert "Hide below 30 %. (a number from 0 to 1; default: 0.3)" in text
    assert "--labels, --no-labels" in text
    assert "Only these. (any of person, traffic light, dog; default: none)" in text


def test_long_lists_of_choices_are_shortened_in_messages():
    names = tuple(f"class{i}" for i in range(80))
    field = setting((), label="Many", help="H", choices=names)
    many = dataclasses.make_dataclass("Many", [("many", tuple[str, ...], field)], bases=(Settings,), frozen=True)
    with pytest.raises(SettingsError, match=r"class7, \.\.\.") as caught:
        many.from_mapping({"many": ["zzz"]})
    assert "class20" not in str(caught.value)


def test_a_borrowed_setting_is_declared_once():
    @dataclass(frozen=True)
    class View(Settings):
        score: float = borrowed(Sample, "score", help="Another sentence.")
        kind: str = borrowed(Sample, "kind", default="none", network=False)

    ours, theirs = ({field.name: field for field in kind.fields_of()} for kind in (View, Sample))
    assert ours["score"] == dataclasses.replace(theirs["score"], help="Another sentence.")
    assert ours["kind"] == dataclasses.replace(theirs["kind"], default="none", network=False)
    assert View().kind == "none"
    with pytest.raises(SettingsError):
        View(score=2.0)
    with pytest.raises(KeyError):
        borrowed(Sample, "nothing")
