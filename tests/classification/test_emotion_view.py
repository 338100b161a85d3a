"""What the Emotion view shows of faces and their probabilities."""

import csv
import io
import json
from dataclasses import replace

import numpy as np
import pytest

from cvdemo.classification import emotion_view as view
from cvdemo.classification.emotion import EMOTIONS, EmotionTracks, Inference, RawEmotions, decode_emotions
from cvdemo.classification.emotion_view import (
    CARDS,
    NO_FACE,
    READ_ABOVE,
    TABLE_HEADER,
    EmotionViewSettings,
    Look,
    cards_html,
    draw,
    export,
    forget,
    kept,
    labels_of,
    look_at,
    missing_weights,
    show,
    table_rows,
    tracks_of,
)
from cvdemo.classification.raw import softmax
from cvdemo.core.errors import InputError, SettingsError
from cvdemo.core.media import Picture, read_picture
from cvdemo.faces.detector import FaceDetectionSettings, FaceInference
from cvdemo.faces.result import Faces, RawFaces

HAPPY, NEUTRAL, SAD = EMOTIONS.index("happy"), EMOTIONS.index("neutral"), EMOTIONS.index("sad")


def faces_of(boxes, scores, height=200, width=300) -> Faces:
    boxes = np.array(boxes, np.float32).reshape(-1, 4)
    return Faces(boxes, np.array(scores, np.float32), np.zeros((len(boxes), 5, 2), np.float32), height, width, "f")


def look_of(logits, scores=None, boxes=None, scale=1.0, name="street.jpg", notes=()) -> Look:
    """A look at a noisy picture of 300 x 200 px with faces side by side."""
    logits = np.array(logits, np.float32).reshape(-1, 7)
    count = len(logits)
    scores = np.linspace(0.9, 0.6, count) if scores is None else np.array(scores)
    if boxes is None:
        boxes = [[10 + 95 * i, 40, 80 + 95 * i, 120] for i in range(count)]
    boxes = np.array(boxes, np.float32).reshape(count, 4)
    crops = np.stack([np.full((48, 48), 10 * i, np.uint8) for i in range(count)] or [np.zeros((0, 48, 48), np.uint8)])
    raw = RawEmotions(
        logits, crops.reshape(count, 48, 48), np.zeros((count, 2, 3)), boxes, scores.astype(np.float32), 200, 300, "e"
    )
    candidates = RawFaces(faces_of(boxes, scores), np.full(count, 8.0), (200, 300))
    found = FaceInference(candidates, {"wait": 0.0, "network": 9.0}, "cpu", "fp32", "f")
    pixels = np.random.default_rng(0).integers(0, 256, (200, 300, 3), np.uint8)
    display = np.full((round(200 * scale), round(300 * scale), 3), 90, np.uint8)
    stages = {"align": 1.0, "network": 3.0}
    return Look(Picture(pixels, name, notes), display, scale, found, Inference(raw, stages, "cpu", "fp32", "e"))


def logits_for(*tops, strength=4.0) -> np.ndarray:
    """One row per face with that emotion on top."""
    return strength * np.eye(7)[list(tops)]


PLAIN = EmotionViewSettings(emotion_temperature=1.0)


def test_the_sentence_and_the_label_name_the_best_emotion():
    look = look_of(logits_for(HAPPY))
    shown = show(look, PLAIN)
    best = float(softmax(look.inference.raw.logits)[0, HAPPY])
    assert shown.sentence == f"1 face: happy ({100 * best:.0f} %)"
    assert labels_of(shown.emotions) == [f"happy {100 * best:.0f}%"]
    assert "faces: network 9.0; emotions: align 1.0, network 3.0; draw" in shown.timing
    assert shown.timing.endswith("cpu fp32")


def test_several_faces_are_numbered_and_doubt_is_marked():
    shown = show(look_of(np.concatenate([logits_for(HAPPY), logits_for(SAD, strength=0.5)])), PLAIN)
    first, second = labels_of(shown.emotions)
    assert first.startswith("1 happy ")
    assert second.startswith("2 sad? ")
    assert shown.sentence.startswith("2 faces: ")


def test_no_face_is_said_with_what_to_do():
    shown = show(look_of(np.zeros((0, 7))), PLAIN)
    assert shown.sentence == NO_FACE
    assert "lower the face threshold" in NO_FACE
    assert NO_FACE in cards_html(shown)
    assert table_rows(shown.emotions) == []
    np.testing.assert_array_equal(shown.pixels, np.full((200, 300, 3), 90, np.uint8))


def test_the_threshold_only_filters_what_was_read():
    look = look_of(logits_for(HAPPY, SAD, NEUTRAL), scores=[0.9, 0.5, 0.3])
    assert len(show(look, replace(PLAIN, face_threshold=0.2)).emotions) == 3
    some = show(look, replace(PLAIN, face_threshold=0.5))  # strictly above, as the detector's own threshold
    assert [name for _, name, _ in some.emotions.top] == ["happy"]
    assert some.crops.shape == (1, 48, 48)
    for threshold in (0.25, 0.45, 0.95):
        rows = kept(look.inference.raw, threshold)
        expected = [i for i, score in enumerate((0.9, 0.5, 0.3)) if score > threshold]
        np.testing.assert_array_equal(rows.logits, look.inference.raw.logits[expected])
        np.testing.assert_array_equal(rows.boxes, look.inference.raw.boxes[expected])


def test_the_temperature_is_that_of_the_softmax():
    look = look_of(logits_for(HAPPY, SAD))
    shown = show(look, replace(PLAIN, emotion_temperature=2.5))
    np.testing.assert_allclose(shown.emotions.probabilities, softmax(look.inference.raw.logits, 2.5))


def test_settings_out_of_range_are_refused():
    for values in ({"face_threshold": 0.1}, {"emotion_temperature": 0.0}, {"smoothing": -1.0}):
        with pytest.raises(SettingsError):
            EmotionViewSettings(**values)
    assert PLAIN.face_threshold == FaceDetectionSettings().score_threshold


def test_both_networks_run_once_and_read_doubtful_faces_too(monkeypatch):
    calls = []
    found = FaceInference(
        RawFaces(faces_of([[0, 0, 50, 50], [100, 0, 150, 50], [200, 0, 250, 50]], [0.9, 0.3, 0.1]), np.full(3, 8.0),
                 (200, 300)), {}, "cpu", "fp32", "f",
    )  # fmt: skip

    def find(picture, **watch):
        calls.append(("find", watch["user"]))
        return found

    def read(picture, faces, **watch):
        calls.append(("read", [round(float(s), 1) for s in faces.scores]))
        return look_of(logits_for(HAPPY, SAD), scores=faces.scores).inference

    monkeypatch.setattr(view, "infer_faces", find)
    monkeypatch.setattr(view, "infer_emotions", read)
    picture = Picture(np.zeros((200, 300, 3), np.uint8))
    look = look_at(picture, picture.pixels, 1.0, user="u")
    assert calls == [("find", "u"), ("read", [0.9, 0.3])]
    for threshold in (READ_ABOVE, 0.5, 0.95):
        show(look, replace(PLAIN, face_threshold=threshold))
    assert len(calls) == 2


def test_boxes_are_drawn_where_the_faces_are_on_the_smaller_copy():
    look = look_of(logits_for(HAPPY), boxes=[[40, 60, 120, 160]], scale=0.5)
    shown = show(look, PLAIN)
    assert shown.pixels.shape == (100, 150, 3)
    changed = (shown.pixels != 90).any(2)
    lower = changed[50:]  # below the plate
    ys, xs = np.nonzero(lower)
    assert abs(xs.min() - 20) <= 4
    assert abs(xs.max() - 60) <= 4
    assert abs(ys.max() + 50 - 80) <= 4
    assert (look.display == 90).all()
    large = show(look, PLAIN, projector=True)
    assert (large.pixels != 90).sum() > 1.3 * changed.sum()


def test_emotions_differ_by_more_than_colour():
    pictures = []
    grey = np.full((200, 300, 3), 128, np.uint8)
    for index in range(7):
        emotions = decode_emotions(look_of(logits_for(index)).inference, PLAIN.for_emotions())
        pictures.append(draw(grey, emotions)[90:140].mean(2))  # the lines beside the face, without hue
    for a in range(7):
        for b in range(a):
            assert (np.abs(pictures[a] - pictures[b]) > 8).any(), (EMOTIONS[a], EMOTIONS[b])


def test_cards_show_crops_and_seven_bars():
    shown = show(look_of(logits_for(HAPPY, NEUTRAL)), PLAIN)
    text = cards_html(shown)
    assert text.count("<figure>") == 2
    assert text.count("data:image/jpeg;base64") == 2
    assert text.count('class="bar"') == 14
    assert "Face 2: neutral<" in text
    assert "70 px wide" in text
    crowd = look_of(logits_for(*[HAPPY] * (CARDS + 3)), scores=np.full(CARDS + 3, 0.9))
    assert "3 more in the table" in cards_html(show(crowd, PLAIN))
    unsure = cards_html(show(look_of(np.zeros((1, 7))), PLAIN))
    assert "?" in unsure


def test_live_faces_are_averaged_and_keep_their_place():
    tracks = EmotionTracks()
    settings = replace(PLAIN, smoothing=1.0)
    first = show(look_of(logits_for(HAPPY, SAD), scores=[0.9, 0.8]), settings, tracks=tracks, seconds=10.0)
    # The other face is now the surer one, so the detector lists it first; and the left one turned sad.
    swapped = look_of(
        logits_for(SAD, SAD), scores=[0.95, 0.7], boxes=[[105, 40, 175, 120], [10, 40, 80, 120]]
    )  # fmt: skip
    second = show(swapped, settings, tracks=tracks, seconds=10.5)
    np.testing.assert_allclose(second.emotions.boxes, first.emotions.boxes)
    np.testing.assert_array_equal(second.emotions.tracks, first.emotions.tracks)
    share = np.exp(-0.5)
    plain = softmax(logits_for(HAPPY, SAD)[:1])[0], softmax(logits_for(SAD))[0]
    np.testing.assert_allclose(second.emotions.probabilities[0], share * plain[0] + (1 - share) * plain[1])
    assert second.crops[0, 0, 0] == 10  # its crop moved with it
    alone = show(swapped, settings)
    np.testing.assert_allclose(alone.emotions.probabilities[0], plain[1])


def test_live_sessions_are_forgotten():
    tracks = tracks_of("visitor")
    assert tracks_of("visitor") is tracks
    forget("visitor")
    forget("visitor")
    assert tracks_of("visitor") is not tracks
    forget("visitor")


def test_table_rows_hold_all_probabilities():
    shown = show(look_of(logits_for(HAPPY)), PLAIN)
    (row,) = table_rows(shown.emotions)
    record = dict(zip(TABLE_HEADER, row))
    assert len(row) == len(TABLE_HEADER)
    assert record["Emotion"] == "happy"
    assert sum(record[name] for name in EMOTIONS) == pytest.approx(1, abs=0.005)
    assert [record[key] for key in ("x1", "y1", "x2", "y2")] == [10, 40, 80, 120]


def test_downloads():
    look = look_of(logits_for(HAPPY, SAD), scores=[0.9, 0.3], scale=0.5)
    name, content = export(look, PLAIN, "json")
    assert name == "street-emotions.json"
    document = json.loads(content)
    assert document["image"] == {"name": "street.jpg", "width": 300, "height": 200}
    (face,) = document["faces"]
    assert face["emotion"] == "happy"
    assert face["bbox"] == [10, 40, 70, 80]
    assert document["settings"]["face_threshold"] == PLAIN.face_threshold
    name, content = export(look, replace(PLAIN, face_threshold=0.2), "csv")
    rows = list(csv.DictReader(io.StringIO(content.decode())))
    assert name == "street-emotions.csv"
    assert [row["emotion"] for row in rows] == ["happy", "sad"]
    assert float(rows[0]["happy"]) == pytest.approx(float(rows[0]["probability"]))
    name, content = export(look, PLAIN, "png")
    assert name == "street-emotions.png"
    pixels = read_picture(content).pixels
    assert pixels.shape == (200, 300, 3), "full size, not the copy on the page"
    assert (pixels != look.picture.pixels).any()
    with pytest.raises(InputError, match="png, json or csv"):
        export(look, PLAIN, "pdf")
    assert export(look_of(np.zeros((0, 7)), name="../x.png"), PLAIN, "csv")[0] == "x-emotions.csv"


def test_notes_of_the_file_are_shown():
    assert show(look_of(logits_for(HAPPY), notes=("first of 3 frames",)), PLAIN).timing.endswith("first of 3 frames")


def test_missing_weights_name_each_model(monkeypatch, tmp_path):
    monkeypatch.setenv("CVDEMO_WEIGHTS", str(tmp_path))
    message = missing_weights()
    assert "face detector" in message
    assert "emotion network" in message
    assert "file is missing" in message
    for name in ("compact_face_detector", "compact_emotion"):
        (tmp_path / f"{name}.safetensors").write_bytes(b"x" * 100)
    assert missing_weights() == ""


def test_the_note_says_what_is_not_read():
    assert "not feelings" in view.CAUTION
    assert "errs" in view.CAUTION
