from __future__ import annotations

import pickle

import pytest

from cvdemo.core.errors import Cancelled, CvDemoError, InputError, ResourceError, SettingsError, WeightsError

CHILDREN = [InputError, SettingsError, WeightsError, ResourceError, Cancelled]


@pytest.mark.parametrize("kind", [CvDemoError, *CHILDREN])
def test_text_is_message_then_hint(kind):
    assert str(kind("It broke.", hint="Mend it.")) == "It broke. Mend it."
    assert str(kind("It broke.")) == "It broke."
    assert kind("It broke.").hint == ""


@pytest.mark.parametrize("kind", CHILDREN)
def test_every_kind_is_caught_as_cvdemo_error(kind):
    with pytest.raises(CvDemoError, match="What happened"):
        raise kind("What happened.", hint="What to do.")


def test_a_settings_error_is_an_input_error():
    assert issubclass(SettingsError, InputError)
    assert not issubclass(WeightsError, InputError)


@pytest.mark.parametrize("kind", [CvDemoError, *CHILDREN])
def test_survives_the_way_to_another_process(kind):
    again = pickle.loads(pickle.dumps(kind("It broke.", hint="Mend it.")))
    assert type(again) is kind
    assert (again.message, again.hint, str(again)) == ("It broke.", "Mend it.", "It broke. Mend it.")


def test_cancelled_needs_no_message():
    assert str(Cancelled()) == "Stopped."
