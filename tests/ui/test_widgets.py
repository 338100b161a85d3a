"""Components made from declarations, and the two inputs that hand files over untouched."""

import json
from dataclasses import dataclass
from types import SimpleNamespace

import gradio as gr
import pytest

from cvdemo import tasks
from cvdemo.core import registry, weights
from cvdemo.core.errors import SettingsError
from cvdemo.core.registry import ModelSpec, WeightsFile
from cvdemo.core.settings import Settings, setting
from cvdemo.detection.predict import CLASS_NAMES, DetectionSettings
from cvdemo.ui.widgets import (
    address_script,
    component,
    handle,
    model_choices,
    model_label,
    moving_menu,
    picture_file,
    read_settings,
    settings_components,
    upload_button,
    video_file,
    widget_values,
)

FIELDS = {field.name: field for field in DetectionSettings.fields_of()}
NAMES = tuple(FIELDS)


@pytest.mark.parametrize("name", NAMES)
def test_each_setting_has_its_widget(name):
    field = FIELDS[name]
    with gr.Blocks():
        widget = component(field)
    assert widget.label == field.label
    assert widget.info == field.help
    expected = list(field.default) if isinstance(field.default, tuple) else field.default
    assert widget.value == expected
    if field.kind in ("float", "int"):
        assert isinstance(widget, gr.Slider)
        assert (widget.minimum, widget.maximum, widget.step) == (field.minimum, field.maximum, field.step)
    elif field.kind == "bool":
        assert isinstance(widget, gr.Checkbox)
    else:
        assert isinstance(widget, gr.Dropdown)
        assert bool(widget.multiselect) == (field.kind == "choices")
        assert [value for _, value in widget.choices] == list(field.choices)


def test_all_classes_can_be_searched():
    with gr.Blocks():
        widget = component(FIELDS["classes"])
    assert widget.filterable
    assert [value for _, value in widget.choices] == list(CLASS_NAMES)


@pytest.mark.parametrize(("sent", "taken"), [(5, 4), (4, 4), (2, 2), (0, 1), (None, None)])
def test_a_place_beyond_an_end_that_has_moved_counts_as_the_end(sent, taken):
    with gr.Blocks():
        slider = handle(1, 4, 1, step=1)
        assert slider.get_block_name() == "slider", "drawn by the page's own slider"
        assert slider.preprocess(sent) == taken
        assert slider.postprocess(3) == 3
        anew = type(slider)(minimum=1, maximum=2)  # as Gradio does once an event has updated it
    assert anew.preprocess(4) == 2


def test_a_choice_of_the_picture_before_is_passed_on():
    with gr.Blocks():
        menu = moving_menu(["all", "dog"], value="all")
        assert menu.get_block_name() == "dropdown"
        assert [menu.preprocess(value) for value in ("dog", "cat", None)] == ["dog", "cat", None]
        assert menu.postprocess("dog") == "dog"


def test_a_range_without_an_end_is_a_number():
    @dataclass(frozen=True)
    class Open(Settings):
        seed: int = setting(3, label="Seed", help="Any number.", minimum=0)
        side: float = setting(0.5, label="Side", help="From 0 to 1.", minimum=0, maximum=1)

    seed, side = Open.fields_of()
    with gr.Blocks():
        assert isinstance(component(seed), gr.Number)
        slider = component(side, 0.25)
    assert isinstance(slider, gr.Slider)
    assert slider.step == 0.01
    assert slider.value == 0.25


def test_named_widgets_come_in_the_order_asked_for():
    with gr.Blocks():
        widgets = settings_components(DetectionSettings, ("iou_threshold", "classes", "show_labels"))
    assert list(widgets) == ["iou_threshold", "classes", "show_labels"]
    assert widgets["classes"].label == "Classes"


@pytest.mark.parametrize(
    "settings",
    [
        DetectionSettings(),
        DetectionSettings(0.2, 0.7, "soft-linear", 12, 3.5, 0.3, ("dog", "person"), 5, False, False),
    ],
)
def test_values_go_to_widgets_and_back(settings):
    values = widget_values(settings, NAMES)
    json.dumps(values)
    assert read_settings(DetectionSettings, NAMES, values) == settings


def test_an_emptied_widget_means_the_default():
    values = widget_values(DetectionSettings(0.2), NAMES)
    values[0] = None
    assert read_settings(DetectionSettings, NAMES, values) == DetectionSettings()


def test_unusable_values_are_refused():
    values = widget_values(DetectionSettings(), NAMES)
    for index, value in ((0, 7.0), (0, float("nan")), (2, "loud"), (6, ["unicorn"]), (3, 1.5)):
        wrong = [*values]
        wrong[index] = value
        with pytest.raises(SettingsError, match=NAMES[index]):
            read_settings(DetectionSettings, NAMES, wrong)


def test_files_are_handed_over_untouched(tmp_path):
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"not a picture")
    with gr.Blocks():
        picture, clip = picture_file(label="Picture"), video_file(label="Clip")
    button = upload_button("Load", file_count="multiple")
    assert [widget.get_block_name() for widget in (picture, clip, button)] == ["image", "video", "uploadbutton"]
    assert button.preprocess(SimpleNamespace(root=[SimpleNamespace(path="a"), SimpleNamespace(path="b")])) == ["a", "b"]
    # As Gradio does when an event returns ``gr.skip()`` for a component.
    anew = picture.__class__(**picture.constructor_args | {"render": False})
    for widget in (picture, clip, button, anew):
        assert widget.preprocess(None) is None
        assert widget.preprocess(SimpleNamespace(path=str(broken))) == str(broken)
    assert clip.preprocess(SimpleNamespace(video=SimpleNamespace(path="a.mp4"))) == "a.mp4"
    assert clip.postprocess(None) is None
    assert clip.postprocess(broken).path == str(broken)


def test_the_address_script_names_the_settings():
    script = address_script(("classes", "sigma"), (("dog",), 0.5))
    assert '["classes", "sigma"], [["dog"], 0.5], args' in script
    assert script.startswith("(...args) =>")
    assert "return args" in script


def spec_of(name, tier, **changes) -> ModelSpec:
    facts = {
        "name": name, "task": "detection", "tier": tier, "title": name.title(), "family": "", "architecture": "",
        "year": 2020, "paper": "", "lecture": "", "parameters": 1_500_000, "build": None, "run": None, "example": None,
        "agrees": None, "weights": WeightsFile(f"{name}.pth", url=f"https://host.invalid/{name}.pth", size=6_000_000),
    }  # fmt: skip
    return ModelSpec(**{**facts, **changes})


@pytest.fixture
def offline(monkeypatch, tmp_path):
    monkeypatch.setenv("CVDEMO_WEIGHTS", str(tmp_path))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setattr(weights, "_forced_offline", True)
    return tmp_path


def test_compact_models_come_first_and_missing_ones_say_why(offline, monkeypatch):
    (offline / "little.pth").write_bytes(b"12345")
    entries = [
        spec_of("large", "full"),
        spec_of("little", "compact", weights=WeightsFile("little.pth", size=5)),
        spec_of("lost", "compact", weights=WeightsFile("lost.pth")),
        spec_of("poser", "full", task="pose"),
    ]
    monkeypatch.setattr(registry, "_models", {spec.name: spec for spec in entries})
    assert model_choices("detection") == [
        ("compact · Little", "little"),
        ("compact · Lost · its file is missing", "lost"),
        ("full · Large · needs 6 MB, offline", "large"),
    ]
    weights.set_offline(False)
    assert model_label(entries[0]) == "full · Large · fetched on first use, 6 MB"


def test_every_registered_detector_is_offered(offline):
    tasks.load_all()
    listed = model_choices("detection")
    assert {name for _, name in listed} == {spec.name for spec in registry.models(task="detection")}
    assert all("offline" in label for label, _ in listed if label.startswith("full"))
