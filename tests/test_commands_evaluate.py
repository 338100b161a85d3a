"""``python -m cvdemo evaluate detection``: the model's own detections as ground truth must score as perfect."""

import json

import numpy as np
import pytest

from cvdemo.__main__ import main
from cvdemo.core.media import save_picture
from cvdemo.detection.labels import COCO_CATEGORIES
from cvdemo.detection.nms import filter_and_suppress
from cvdemo.detection.predict import infer

pytestmark = pytest.mark.usefixtures("compact_engine")

NUMBERS = {"AP", "AP50", "AP75", "APs", "APm", "APl", "AR1", "AR10", "AR100", "ARs", "ARm", "ARl"}


@pytest.fixture(scope="module")
def data(crowd, compact_engine, tmp_path_factory):
    """Two pictures; all that the model finds in them, at the command's own thresholds, is the truth."""
    folder = tmp_path_factory.mktemp("data")
    pictures = {1: crowd, 2: np.ascontiguousarray(crowd[:, ::-1])}
    images, annotations = [], []
    for id_, pixels in pictures.items():
        save_picture(folder / f"{id_}.png", pixels)
        images.append({"id": id_, "file_name": f"{id_}.png", "width": pixels.shape[1], "height": pixels.shape[0]})
        options = {"score_threshold": 0.01, "iou_threshold": 0.65, "max_detections": 100}
        found, _ = filter_and_suppress(infer(pixels).candidates, **options)
        assert len(found)
        for row in found.to_coco(id_):
            area = row["bbox"][2] * row["bbox"][3]
            annotations.append({"id": len(annotations) + 1, **row, "area": area, "iscrowd": 0})
    categories = [{"id": c.id, "name": c.name} for c in COCO_CATEGORIES]
    (folder / "labels.json").write_text(
        json.dumps({"images": images, "annotations": annotations, "categories": categories})
    )
    return folder


def evaluate(capsys, data, *arguments):
    code = main(
        ["evaluate", "detection", "--annotations", str(data / "labels.json"), "--images", str(data), *arguments]
    )
    printed = capsys.readouterr()
    return code, printed.out, printed.err


def test_the_models_own_detections_score_as_perfect(data, capsys):
    code, out, _ = evaluate(capsys, data, "--json", "-")
    assert code == 0
    result = json.loads(out)
    assert NUMBERS | {"per_class", "images", "skipped", "model"} == set(result)
    assert result["images"] == 2
    assert result["model"] == "compact-detector"
    assert result["AP50"] == pytest.approx(1, abs=1e-6)
    assert result["AP"] == pytest.approx(1, abs=1e-6)
    person = result["per_class"]["person"]
    assert person == {"AP": pytest.approx(1, abs=1e-6), "AP50": pytest.approx(1, abs=1e-6)}
    assert len(result["per_class"]) == 80


def test_a_higher_floor_finds_less_and_one_picture_may_be_chosen(data, tmp_path, capsys):
    (tmp_path / "ids.txt").write_text("2\n")
    code, out, _ = evaluate(
        capsys, data, "--ids", str(tmp_path / "ids.txt"), "--score-floor", "0.3", "--json", str(tmp_path / "r.json")
    )
    assert code == 0
    assert out.startswith("compact-detector on 1 pictures")
    assert "person" in out
    result = json.loads((tmp_path / "r.json").read_text())
    assert result["images"] == 1
    assert 0 < result["AP"] < 1


def test_problems_are_sentences(data, tmp_path, capsys):
    (tmp_path / "ids.txt").write_text("99\n")
    for arguments, words in (
        (["--ids", str(tmp_path / "ids.txt")], "ids are not in labels.json"),
        (["--model", "nothing"], "no model named"),
        (["--score-floor", "2"], "between 0 and 1"),
    ):
        code, out, err = evaluate(capsys, data, *arguments)
        assert code == 2
        assert out == ""
        assert words in err
        assert "Traceback" not in err
