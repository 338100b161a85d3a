"""Gradio components made from declarations: settings become sliders and menus, models become a menu.

Also the two inputs that hand a file over untouched, so that ``core.media`` decodes every picture and video the same
way wherever it comes from.
"""

from __future__ import annotations

import json
from abc import ABCMeta
from collections.abc import Iterable, Sequence
from typing import Any

import gradio as gr
from gradio.data_classes import FileData

from cvdemo.core.registry import ModelSpec, availability, models, title_of
from cvdemo.core.settings import SettingField, Settings


def _path_of(_: Any, payload: Any) -> Any:
    """The path of an uploaded file (a list of paths of several), None when there is none."""
    if payload is None:
        return None
    if hasattr(payload, "root"):
        return [file.path for file in payload.root]
    return getattr(payload, "video", payload).path


def _written(_: Any, value: Any) -> Any:
    """What we write is H.264 already: no probing, no conversion."""
    return None if value is None else FileData(path=str(value))


def _as_given(_: Any, payload: Any) -> Any:
    return payload


def _within(slider: Any, payload: float | None) -> float | None:
    return None if payload is None else min(max(payload, slider.minimum), slider.maximum)


def _own_kind(component: type, name: str, **methods: Any) -> Any:
    """A kind of ``component`` with methods of ours.

    Made without the metaclass's own constructor, which writes a stub file beside the source of every subclass. A
    changed instance would not do: Gradio builds a component anew for a visitor whenever an event updates its
    properties, which ``gr.skip()`` does too, and the change would be lost.
    """
    attributes = {"is_template": True, "__module__": __name__, **methods}
    return ABCMeta.__new__(type(component), name, (component,), attributes)


_PicturePath = _own_kind(gr.Image, "ImagePath", preprocess=_path_of)
_VideoPath = _own_kind(gr.Video, "VideoPath", preprocess=_path_of, postprocess=_written)
_UploadPath = _own_kind(gr.UploadButton, "UploadButtonPath", preprocess=_path_of)
_Handle = _own_kind(gr.Slider, "Handle", preprocess=_within)
_Menu = _own_kind(gr.Dropdown, "Menu", preprocess=_as_given)


def picture_file(**look: Any) -> gr.Image:
    """``gr.Image`` that passes the path of the uploaded file instead of decoding it.

    Gradio's own decoding ignores orientation in some modes, clips 16 bits to white and fails on unknown formats with
    a message that helps nobody.
    """
    return _PicturePath(type="filepath", **look)


def video_file(**look: Any) -> gr.Video:
    """``gr.Video`` that passes the path of the uploaded file instead of converting it with an external program."""
    return _VideoPath(**look)


def upload_button(*args: Any, **look: Any) -> gr.UploadButton:
    """``gr.UploadButton`` that passes the path (the paths, with ``file_count="multiple"``) and leaves the rest to us.

    The reader of the file explains what is wrong with it; Gradio's own check would only name the ending, and it leaves
    an empty file on the disk for each upload.
    """
    return _UploadPath(*args, **look)


def handle(*args: Any, **look: Any) -> gr.Slider:
    """``gr.Slider`` whose ends may move with what is shown: a value beyond them counts as the nearer end.

    Over a slow connection the page still sends the place it had when the answer with the new ends is under way;
    Gradio's own slider takes that for a mistake, and the visitor's action is lost.
    """
    return _Handle(*args, buttons=[], **look)


def moving_menu(*args: Any, **look: Any) -> gr.Dropdown:
    """``gr.Dropdown`` whose choices follow what is shown, and which passes on what was chosen before they did.

    Its handlers must know what to make of a value that is no choice (any more).
    """
    return _Menu(*args, **look)


def signal(value: int | str) -> Any:
    """A number or a word that is not shown and has change events.

    ``gr.State`` would do, if it did not fire its change event the first time an event has it among its outputs, even
    when that event skips it: opening the page would compute every view of every task.
    """
    return gr.Textbox(value, visible=False) if isinstance(value, str) else gr.Number(value, precision=0, visible=False)


def component(field: SettingField, value: Any = None) -> Any:
    """The widget of one setting, at ``value`` or at its default."""
    value = field.default if value is None else value
    common: dict[str, Any] = {"label": field.label, "info": field.help, "interactive": True}
    if field.kind in ("float", "int"):
        step = field.step or (1 if field.kind == "int" else 0.01)
        if field.minimum is None or field.maximum is None:  # a slider needs both ends
            return gr.Number(value, minimum=field.minimum, maximum=field.maximum, step=step, **common)
        return handle(field.minimum, field.maximum, value, step=step, **common)
    if field.kind == "bool":
        return gr.Checkbox(value, **common)
    if field.kind == "choice":
        return gr.Dropdown(list(field.choices or ()), value=value, filterable=False, **common)
    return gr.Dropdown(list(field.choices or ()), value=list(value), multiselect=True, filterable=True, **common)


def settings_components(cls: type[Settings], names: Iterable[str]) -> dict[str, Any]:
    """Widgets of the named settings, in that order, placed where this is called."""
    fields = {field.name: field for field in cls.fields_of()}
    return {name: component(fields[name]) for name in names}


def read_settings(cls: type[Settings], names: Sequence[str], values: Sequence[Any]) -> Any:
    """Widget values back to a validated settings object. Gradio hands lists where settings hold tuples."""
    given = {name: tuple(v) if isinstance(v, list) else v for name, v in zip(names, values) if v is not None}
    return cls.from_mapping(given)


def widget_values(settings: Settings, names: Sequence[str]) -> list[Any]:
    """Settings as values for their widgets, in the order of ``names``."""
    return [list(v) if isinstance(v, tuple) else v for v in (getattr(settings, name) for name in names)]


def address_script(names: Sequence[str], defaults: Sequence[Any]) -> str:
    """Client-side function that writes the first ``len(names)`` inputs into the page's address and passes all on."""
    listed = [list(v) if isinstance(v, tuple) else v for v in defaults]
    return (
        f"(...args) => {{ window.cvdemo.rememberInAddress({json.dumps(list(names))}, {json.dumps(listed)}, args); "
        "return args; }"
    )


def model_label(spec: ModelSpec) -> str:
    """A model's line in the menu: its tier, its title, and why it is not ready when it is not."""
    state = availability(spec)
    return f"{spec.tier} · {title_of(spec, state)}" + (f" · {state.reason}" if state.reason else "")


def model_choices(task: str, *, kind: str = "", family: str = "") -> list[tuple[str, str]]:
    """(label, name) of every model of a task, compact ones first; unavailable ones stay in the list with the reason.

    kind: only models that name it in their ``extras``.   family: only models of that family.
    """
    offered = [
        spec
        for spec in models(task=task)
        if (not kind or spec.extras.get("kind") == kind) and (not family or spec.family == family)
    ]
    listed = sorted(offered, key=lambda spec: spec.tier != "compact")
    return [(model_label(spec), spec.name) for spec in listed]
