"""The GAN corner: a visitor's table, what is drawn of it, and what comes from the browser."""

import json
import threading

import cv2
import numpy as np
import pytest

from cvdemo.style import gan_table, gan_view
from cvdemo.style.gan import Gan, GanSettings, Round, example_points
from cvdemo.style.gan_table import FAST, MOST_POINTS, OWN, GanViewSettings, Table
from cvdemo.style.gan_view import REAL, Scene

SMALL = {"hidden": 8, "batch": 16}


@pytest.fixture
def table():
    made = Table()
    made.adapt(GanViewSettings(**SMALL))
    return made


def test_rates_reach_the_game():
    game = GanViewSettings(lr_g="0.005", lr_d="0.0001", noise=3).game()
    assert game == GanSettings(rate_g=0.005, rate_d=0.0001, noise=3)


def test_some_settings_act_on_the_game_under_way_and_others_need_a_new_one(table):
    table.game.step(3)
    first = table.game
    assert not table.adapt(GanViewSettings(**SMALL, lr_g="0.01", d_steps=2))
    assert table.game is first
    assert first.of_g.param_groups[0]["lr"] == 0.01
    assert table.adapt(GanViewSettings(**SMALL, noise=5))
    assert table.game is not first
    assert table.game.steps == 0


def test_drawn_points_replace_a_preset_and_the_game_goes_on(table):
    table.game.step(2)
    table.draw([(0.5, 0.5)])
    assert table.settings.shape == OWN
    assert table.game.steps == 2
    assert np.abs(table.game.points.numpy() - 0.5).max() < 0.3
    table.draw([(-0.5, 0.0), (9.0, 9.0), (float("nan"), 0.0)])  # what lies outside is left out
    assert len(table.points) == 2 * gan_table.BRUSH[0]
    assert np.abs(table.points).max() < 1
    table.draw([(0.0, 0.0)] * (MOST_POINTS // gan_table.BRUSH[0] + 5))
    assert len(table.points) == MOST_POINTS


def test_an_empty_plane_has_no_game_until_something_is_drawn(table):
    table.clear()
    assert table.game is None
    scene = gan_view.scene_of(table)
    assert "Draw real points" in scene.sentence()
    assert gan_view.draw(scene, 64).min() > 200
    table.play(lambda steps: pytest.fail("there is nothing to play"), threading.Event())
    table.draw([(0.1, 0.1)])
    assert table.game.steps == 0


def test_playing_ends_when_it_is_cancelled_or_its_visitor_leaves(table):
    cancel, seen = threading.Event(), []

    def told(steps):
        seen.append(steps)
        if steps >= 3:
            cancel.set()

    table.adapt(GanViewSettings(**SMALL, speed="steady"))
    table.play(told, cancel)
    assert seen == [1, 2, 3]
    table.closed = True
    table.play(lambda steps: pytest.fail("the visitor is gone"), threading.Event())


def test_a_forgotten_game_ends(table, monkeypatch):
    monkeypatch.setattr(gan_table, "MOST_STEPS", 4)
    table.adapt(GanViewSettings(**SMALL, speed=FAST))
    table.play(lambda steps: None, threading.Event())
    assert table.game.steps == 4


def test_tables_belong_to_sessions():
    one, other = gan_table.table_of("a"), gan_table.table_of("b")
    assert one is not other
    assert gan_table.table_of("a") is one
    gan_table.forget("a")
    assert one.closed
    assert gan_table.table_of("a") is not one
    gan_table.forget("a")
    gan_table.forget("b")


def test_fit_against_brute_force():
    rng = np.random.default_rng(0)
    real, made = rng.normal(size=(40, 2)), rng.normal(size=(30, 2))
    near = sum(min(np.hypot(*(r - m)) for r in real) <= 0.2 for m in made) / 30
    reached = sum(min(np.hypot(*(r - m)) for m in made) <= 0.2 for r in real) / 40
    assert gan_view.fit(real, made, 0.2) == pytest.approx((near, reached))


def test_a_place_on_the_picture_is_the_place_in_the_plane():
    places = [(0.3, 1.2), (-1.0, -0.4)]
    columns_and_rows = gan_view.to_pixels(np.array(places), 300)
    assert gan_view.from_shares((columns_and_rows / 300).tolist()) == [pytest.approx(place) for place in places]


@pytest.mark.parametrize("shares", [["a"], [[1]], [[0.5, "x"]], [[2, 0.5]], [[True, 0.5]], [None], [[float("nan"), 0]]])
def test_made_up_places_are_left_out(shares):
    assert gan_view.from_shares(shares) == []


def test_the_picture_shows_points_and_what_the_discriminator_says():
    field = np.zeros((8, 8), np.float32)
    field[:, 4:] = 1.0
    scene = Scene(np.array([[-0.75, 0.75]], np.float32), np.array([[0.75, -0.75]], np.float32), field, ())
    pixels = gan_view.draw(scene, 240)
    assert tuple(pixels[60, 60]) == REAL
    assert tuple(pixels[180, 180]) == gan_view.MADE
    left, right = pixels[100, 10].astype(int), pixels[100, 230].astype(int)
    assert left[0] > left[2]  # orange where D says generated
    assert right[2] > right[0]
    assert pixels[100, 110:130].min() < 100  # the line at one half


def test_words_and_data(table):
    table.game.step(2)
    scene = gan_view.scene_of(table)
    assert scene.sentence().startswith("Step 2: D says")
    assert "in balance 1.386" in scene.details()
    data = json.loads(json.dumps(scene.to_dict()))
    assert [each["step"] for each in data["rounds"]] == [1, 2]
    assert len(data["generated"]) == len(scene.made)
    rows = gan_view.rounds_csv(scene.history).splitlines()
    assert len(rows) == 3
    assert float(rows[2].split(",")[1]) == pytest.approx(scene.history[-1].discriminator, abs=1e-5)


def test_exports(table):
    from cvdemo.style.tab_gan import KINDS, export

    table.game.step()
    scene = gan_view.scene_of(table)
    made = {kind: export(scene, kind) for kind in KINDS}
    assert cv2.imdecode(np.frombuffer(made["png"], np.uint8), cv2.IMREAD_COLOR).shape == (1280, 1280, 3)
    assert json.loads(made["json"])["steps"] == 1


def test_curves():
    rounds = [Round(step, 1.4, 0.7, 0.5, 0.5) for step in range(1, 1000)]
    text = gan_view.curves_html(rounds)
    assert text.count("<polyline") == 4
    assert "step 999" in text
    assert "begin with the first step" in gan_view.curves_html([])


def test_a_game_can_be_played_on_the_grid():
    game = Gan(example_points("grid"), GanSettings(**SMALL))
    assert game.step(2).step == 2
