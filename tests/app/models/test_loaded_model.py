from app.models.loaded_model import LoadedModel
from app.models.manifest import StoredFile
from tests.support.fake_store import fake_manifest
from tests.support.fakes import FakeEngine


def model() -> LoadedModel:
    return LoadedModel(fake_manifest(1, [RECORD, RECORD]), FakeEngine())


RECORD = StoredFile(path="encoder/1/saved_model.pb", size=0, sha256="0" * 64)


def test_a_model_that_nobody_uses_is_let_go_at_once():
    told: list[int] = []
    model().retire(lambda: told.append(1))
    assert told == [1]


def test_a_model_in_use_is_let_go_once_by_its_last_user():
    told: list[int] = []
    served = model()
    with served:
        with served:
            served.retire(lambda: told.append(1))
        assert not told
    assert told == [1]
    with served:
        pass
    assert told == [1]


def test_a_request_that_fails_uses_the_model_no_longer():
    served = model()
    try:
        with served:
            raise KeyError
    except KeyError:
        pass
    assert served.users == 0
