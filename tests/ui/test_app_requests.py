"""The real app over HTTP: the named endpoints, every broken file of the corpus, and what a visitor leaves behind."""

import json
import os
import re
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import numpy as np
import pytest
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError

from cvdemo.core import registry, weights
from cvdemo.core.media import read_picture, save_picture
from cvdemo.detection.predict import DetectionSettings, decode, infer
from tests.corpus import build_corpus

ENDPOINTS = {
    "/detect", "/detect_settings", "/detection_models",
    "/segment", "/segment_settings", "/segmentation_models", "/pose", "/pose_settings", "/pose_models",
    "/flow", "/flow_settings", "/flow_models", "/action", "/action_timeline", "/action_settings", "/action_models",
    "/classify", "/explain", "/emotions", "/classify_settings", "/classification_models",
    "/faces_compare", "/faces_settings", "/faces_models", "/style", "/style_settings", "/style_models",
}  # fmt: skip


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    """The folder in which the app keeps visitors' files."""
    return tmp_path_factory.mktemp("app")


@pytest.fixture(scope="module")
def address(compact_engine, root):
    """The app, served from a thread of this process, offline."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRADIO_TEMP_DIR", str(root))
        patch.setattr("gradio.utils.get_heartbeat_rate", lambda: 0.1)  # a visitor's absence is noticed at once
        weights.set_offline(True)
        from cvdemo.ui.shell import MAX_UPLOAD, build_app
        from cvdemo.ui.theme import launch_look

        demo = build_app(max_users=4)
        demo.queue()
        _, url, _ = demo.launch(
            prevent_thread_lock=True, quiet=True, ssr_mode=False, run_history=False, enable_monitoring=False,
            max_file_size=MAX_UPLOAD, **launch_look(),
        )  # fmt: skip
        yield url
        demo.close(verbose=False)
        weights.set_offline(None)


def caller(address: str, folder: Path) -> Client:
    """A visitor who calls over HTTP and is patient: the tests' machine may be busy."""
    return Client(address, verbose=False, httpx_kwargs={"timeout": 120}, download_files=str(folder / "downloads"))


@pytest.fixture
def client(address, tmp_path):
    with_downloads = caller(address, tmp_path)
    yield with_downloads
    with_downloads.close()


@pytest.fixture(scope="module")
def picture(crowd, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("picture") / "crowd.png"
    save_picture(path, crowd)
    return path


def detect(client: Client, path: Path, **settings):
    return client.predict(image=handle_file(str(path)), api_name="/detect", **settings)


def check_message(message: str) -> None:
    """A sentence for people: no stack trace, no class of an exception, no server talking about itself."""
    assert message.strip()
    assert message[0].isupper() or message[0].isdigit() or "." in message.split()[0], message
    for internal in ("Traceback", 'File "', "Exception", "upstream", "NoneType", "object at 0x"):
        assert internal not in message
    assert not re.search(r"\b[A-Z][a-zA-Z]*Error\b", message), message


def test_only_the_documented_endpoints_are_public(client):
    api = client.view_api(return_format="dict", print_info=False)
    assert set(api["named_endpoints"]) == ENDPOINTS
    assert not api["unnamed_endpoints"]
    names = [parameter["parameter_name"] for parameter in api["named_endpoints"]["/detect"]["parameters"]]
    assert names == ["image", "model", *names[2:]]
    assert set(names[2:]) == {field.name for field in DetectionSettings.fields_of()}
    for parameter in api["named_endpoints"]["/detect"]["parameters"][1:]:
        assert parameter["parameter_has_default"]


def test_a_picture_is_answered_like_the_library_does(client, crowd, picture):
    result, drawn = detect(client, picture, score_threshold=0.1, nms_kind="class-agnostic", classes=["person"])
    settings = DetectionSettings(0.1, nms_kind="class-agnostic", classes=("person",))
    expected = decode(infer(crowd), settings).detections
    assert result["image"] == {"name": "crowd.png", "width": 1000, "height": 600}
    assert result["detections"] == expected.to_dict()["detections"]
    assert result["sentence"] == expected.sentence()
    assert {"network", "preprocess"} <= set(result["milliseconds"])
    pixels = read_picture(drawn).pixels
    assert pixels.shape == crowd.shape
    assert (pixels != crowd).any()


def test_defaults_are_those_of_the_page(client, crowd, picture):
    result, _ = detect(client, picture)
    assert result["detections"] == decode(infer(crowd), DetectionSettings()).detections.to_dict()["detections"]
    again, _ = detect(client, picture, model=None, score_threshold=None, classes=None)
    assert again["detections"] == result["detections"]


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"model": "compact-detektor"}, "Did you mean: compact-detector"),
        ({"model": "ssd300_vgg16"}, "ssd300"),
        ({"model": 17}, "no model named '17'"),
        ({"score_threshold": 7.0}, "Score threshold.*from 0.* to 1"),
        ({"score_threshold": "much"}, "Score threshold.*'much'"),
        ({"iou_threshold": -0.1}, "IoU threshold.*from 0 to 1"),
        ({"max_detections": 1.5}, "Most boxes.*whole number"),
        ({"nms_kind": "loud"}, "Suppression.*'loud'"),
        ({"nms_kind": ["hard"]}, "Suppression"),
        ({"classes": ["unicorn"]}, "Classes.*'unicorn'"),
        ({"classes": "dog"}, "Classes.*'dog'"),
        ({"show_labels": "yes"}, "Labels.*true or false"),
    ],
)
def test_unusable_values_are_explained(client, picture, settings, words):
    with pytest.raises(AppError, match=words) as refused:
        detect(client, picture, **settings)
    check_message(str(refused.value))


def test_no_picture_is_explained(client):
    with pytest.raises(AppError, match="No picture was sent"):
        client.predict(image=None, api_name="/detect")


def test_every_file_of_the_corpus_is_answered_or_explained(client, picture, tmp_path, capfd):
    answered = explained = 0
    for case in build_corpus(tmp_path / "corpus"):
        if not os.path.isfile(case.path):
            continue  # the client itself refuses to send what is not there
        where = case.path.name
        try:
            result, drawn = detect(client, case.path)
        except AppError as error:
            message = str(error)
            assert not (case.ok and case.kind == "picture"), f"{where}: {message}"
            check_message(message)
            assert case.path.stem in message, "the message names the file"
            if case.kind != "video" and case.says:
                assert case.says in message, where
            assert message.rstrip().endswith((".", "?", ")")), message
            explained += 1
            continue
        answered += 1
        # Of the videos, an animation can be read as a picture, and so can a picture that is named like a video.
        assert case.ok or case.says == "is a picture", f"{where} was taken for a picture"
        size = read_picture(case.path).pixels.shape[:2]
        assert (result["image"]["height"], result["image"]["width"]) == size, where
        assert result["image"]["name"] == where
        assert read_picture(drawn).pixels.shape[:2] == size, where
    assert answered >= 50
    assert explained >= 40
    printed = capfd.readouterr()
    assert "Traceback" not in printed.out + printed.err, "the server took a foreseen problem for a bug"
    result, _ = detect(client, picture)
    assert result["detections"], "and it still serves a good picture"


def raw_answer(address: str, data: list) -> str:
    """The event stream of one call without the client, which would check the arguments itself."""
    started = httpx.post(f"{address}gradio_api/call/detect", json={"data": data}, timeout=30)
    if started.status_code != 200:
        return f"event: error {started.status_code} {started.text}"
    event = started.json()["event_id"]
    return httpx.get(f"{address}gradio_api/call/detect/{event}", timeout=60).text


@pytest.mark.parametrize(
    "image",
    ["FOREIGN", {"path": "FOREIGN", "meta": {"_type": "gradio.FileData"}}, {"path": "/no/such.png"},
     {"path": "x" * 5000 + ".png"}, {"path": "ROOT/../secret.png"}, {"nonsense": 1}, 17, [], "\0"],
)  # fmt: skip
def test_a_made_up_upload_reads_no_file_of_the_server(address, client, root, picture, image):
    secret = root.parent / "secret.png"
    save_picture(secret, np.zeros((77, 33, 3), np.uint8))
    text = json.dumps(image).replace("FOREIGN", str(secret)).replace("ROOT", str(root))
    answer = raw_answer(address, [json.loads(text)])
    assert "error" in answer.split("data:")[0]
    assert not re.search(r'"height": *77|"width": *33', answer)
    assert "Traceback" not in answer
    assert detect(client, picture)[0]["detections"]


def test_several_visitors_at_once_get_their_own_answers(address, crowd, tmp_path):
    paths = []
    for index in range(4):
        paths.append(tmp_path / f"view{index}.png")
        save_picture(paths[-1], np.ascontiguousarray(np.roll(crowd, 130 * index, axis=1)))
    expected = [decode(infer(read_picture(path)), DetectionSettings()).detections.to_dict() for path in paths]

    def visit(path: Path):
        visitor = caller(address, tmp_path)
        try:
            return detect(visitor, path)[0]
        finally:
            visitor.close()

    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(visit, paths))
    for answer, reference, path in zip(answers, expected, paths):
        assert answer["image"]["name"] == path.name
        assert answer["detections"] == reference["detections"]


def test_settings_and_models_are_described(client):
    described = client.predict(api_name="/detect_settings")
    fields = {field.name: field for field in DetectionSettings.fields_of()}
    assert set(described) == set(fields)
    for name, field in fields.items():
        assert described[name]["help"] == field.help
        assert described[name]["minimum"] == field.minimum
        assert described[name]["choices"] == (None if field.choices is None else list(field.choices))
    rows = {row["name"]: row for row in client.predict(api_name="/detection_models")}
    assert set(rows) == {spec.name for spec in registry.models(task="detection")}
    assert rows["compact-detector"]["available"] is True
    for row in rows.values():
        assert row["title"]
        if not row["available"]:
            assert "offline" in row["reason"]
            assert row["remedy"]


def files_in(root: Path) -> set[Path]:
    # os.walk passes over folders that vanish meanwhile; rglob stops at them
    found = {Path(folder) / name for folder, _, names in os.walk(root) for name in names}
    return {path for path in found if path.parent.name != "examples"}


def test_what_a_visitor_brought_and_got_is_gone_when_the_visitor_leaves(address, root, crowd, tmp_path):
    kept, passing = (caller(address, tmp_path) for _ in range(2))
    before = files_in(root)
    for index, visitor in enumerate((kept, passing)):
        save_picture(tmp_path / f"visitor{index}.png", crowd[:, : 500 + 7 * index])
        detect(visitor, tmp_path / f"visitor{index}.png")
    brought = files_in(root) - before
    assert {"visitor0.png", "visitor1.png"} <= {path.name for path in brought}
    passing.close()
    deadline = time.monotonic() + 60
    kept_files = ["detections.png", "visitor0.png"]
    while (names := sorted(path.name for path in files_in(root) - before)) != kept_files:
        assert time.monotonic() < deadline, names
        time.sleep(0.1)  # files go one by one
    kept.close()


def test_the_examples_of_the_page_are_there_for_everybody(address, root):
    assert list((root / "examples").iterdir())
    page = httpx.get(address, timeout=30)
    assert page.status_code == 200
    assert "cvdemo" in page.text
