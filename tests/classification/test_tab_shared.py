"""The Classification tab makes a forward pass once a session."""

import numpy as np

from cvdemo.classification import tab_shared
from cvdemo.core.media import Picture
from cvdemo.ui.memory import forget


def test_a_forward_pass_is_made_once(monkeypatch):
    from cvdemo.classification.predict import Inference
    from cvdemo.classification.raw import RawClassification

    calls = []

    def infer(picture, model, *, user, **watch):
        calls.append((picture.fingerprint, model, user))
        raw = RawClassification(np.zeros(2, np.float32), None, ("a", "b"), (0, 0, 1, 1), 4, 5, model)
        return Inference(raw, {}, "cpu", "fp32", model)

    monkeypatch.setattr(tab_shared, "infer", infer)
    picture = Picture(np.zeros((4, 5, 3), np.uint8), "a.png")
    first = tab_shared.look_of("visitor", picture, "m")
    assert tab_shared.look_of("visitor", Picture(picture.pixels.copy(), "other name"), "m") is first
    assert tab_shared.look_of("visitor", picture, "n") is not first
    assert [model for _, model, _ in calls] == ["m", "n"]
    elsewhere = tab_shared.remember("visitor", picture, infer(picture, "p", user=""))
    assert tab_shared.look_of("visitor", picture, "p") is elsewhere
    forget("visitor")
