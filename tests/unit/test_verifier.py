from tests.support.place import Place


def test_place_holds_an_enrolled_user(place: Place) -> None:
    place.enrol("alice")
    assert place.record("alice").authenticators[0].label == "phone"
