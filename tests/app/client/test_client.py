"""Client and AsyncClient do the same, so each test here runs on both."""

import asyncio
import base64
import inspect
import json
import signal
import subprocess
import sys
import threading

import httpx
import numpy as np
import pytest
from PIL import Image

import app.client
from app.api.formats import npy
from app.client import (
    AsyncClient,
    BadAnswer,
    Client,
    ClientError,
    ConnectionFailed,
    Fault,
    InvalidInput,
    NotReady,
    Refused,
    Sending,
    TimedOut,
    Unavailable,
    VersionChanged,
)
from app.imaging.sheets import to_uint8
from app.main import create_app
from app.settings import Settings
from tests.support.clock import FakeClock, retries
from tests.support.fake_store import publish_fake
from tests.support.fakes import FakeEngine, paint
from tests.support.live import serving_in_thread
from tests.support.paths import ROOT
from tests.support.pictures import file_of, on_paper


@pytest.fixture(params=["sync", "async"])
def ask(request):
    """A function of (url, method, arguments) that makes a client, calls it and closes it."""

    def threads(url, method, *arguments, options=None, **named):
        with Client(url, **(options or {})) as client:
            return getattr(client, method)(*arguments, **named)

    def tasks(url, method, *arguments, options=None, **named):
        async def main():
            async with AsyncClient(url, **(options or {})) as client:
                return await getattr(client, method)(*arguments, **named)

        return asyncio.run(main())

    return threads if request.param == "sync" else tasks


@pytest.fixture(scope="module")
def url(tmp_path_factory):
    store = tmp_path_factory.mktemp("client") / "store"
    publish_fake(store)
    settings = Settings(model_store=store, max_image_pixels=2_000_000)
    with serving_in_thread(create_app(settings, lambda stored, settings: FakeEngine())) as address:
        yield address


def halves(levels: np.ndarray) -> list[float]:
    """What the fake encoder makes of a digit."""
    return [levels[:, :14].mean() / 255, levels[:, 14:].mean() / 255]


def mocked(handler, **changed):
    """Options of a client whose service is a function, and whose time is made up."""
    clock = FakeClock()
    options = {"transport": httpx.MockTransport(handler), "retries": retries(clock, **changed)}
    return options, clock


def problem(status: int, code: str, **headers: str) -> httpx.Response:
    document = {
        "type": f"urn:{code}",
        "title": code.title(),
        "status": status,
        "detail": f"It is {code}.",
        "code": code,
    }
    return httpx.Response(
        status, content=json.dumps(document), headers={"content-type": "application/problem+json", **headers}
    )


def manifest_answer() -> httpx.Response:
    return httpx.Response(200, json={"version": 3})


def test_every_kind_of_image_is_encoded_as_the_route_encodes_it(ask, url, digit, tmp_path):
    png = file_of(digit)
    path = tmp_path / "digit.png"
    path.write_bytes(png)
    kinds = [png, path, str(path), Image.fromarray(digit), digit, digit / 255, digit[np.newaxis]]
    expected = httpx.post(f"{url}/encode", content=png, headers={"content-type": "image/png"}).json()
    result = ask(url, "encode", kinds)
    assert result.z_mean.shape == (7, 2)
    assert result.z_mean.dtype == result.z_log_var.dtype == np.float32
    assert np.abs(result.z_mean - expected["z_mean"]).max() < 1e-6
    assert result.z_mean[0] == pytest.approx(halves(digit), abs=1e-6)
    assert (result.z_log_var == -1).all()
    assert result.model_version == 1
    for kind in kinds:
        assert np.abs(ask(url, "encode", kind).z_mean - expected["z_mean"]).max() < 1e-6


def test_a_picture_of_any_size_is_prepared_by_the_service(ask, url, digit):
    photo = file_of(on_paper(digit), "JPEG")
    plain, whole = ask(url, "encode", photo), ask(url, "encode", photo, fit="none", invert="false")
    assert not np.allclose(plain.z_mean, whole.z_mean)


def test_a_long_list_goes_out_in_batches_and_comes_back_in_order(ask, url):
    levels = np.random.default_rng(1).integers(0, 256, (30, 28, 28), np.uint8)
    mixed = [file_of(each) if i % 7 == 0 else each for i, each in enumerate(levels)]
    told = []
    options = {"sending": Sending(most_images=3, in_flight=3)}
    result = ask(url, "encode", mixed, invert="false", progress=lambda *state: told.append(state), options=options)
    inverted = ask(url, "encode", levels, invert="false")
    assert result.z_mean == pytest.approx(np.array([halves(each) for each in levels]), abs=1e-6)
    assert np.array_equal(inverted.z_mean, result.z_mean)
    assert told[-1] == (30, 30)
    assert [done for done, _ in told] == sorted(done for done, _ in told)


def test_at_most_so_many_requests_are_in_flight(ask):
    lock, now, most = threading.Lock(), 0, 0

    def enter(step):
        nonlocal now, most
        with lock:
            now += step
            most = max(most, now)

    def answer(request):
        n = len(npy.loads(request.read()))
        return httpx.Response(200, json={"model_version": 1, "z_mean": [[0, 0]] * n, "z_log_var": [[0, 0]] * n})

    class Slow(httpx.BaseTransport, httpx.AsyncBaseTransport):
        def handle_request(self, request):
            enter(1)
            threading.Event().wait(0.01)
            enter(-1)
            return answer(request)

        async def handle_async_request(self, request):
            enter(1)
            await asyncio.sleep(0.01)
            enter(-1)
            return answer(request)

    options = {"transport": Slow(), "sending": Sending(most_images=1, in_flight=3)}
    assert len(ask("http://x", "encode", np.zeros((20, 28, 28), np.uint8), options=options)) == 20
    assert most == 3


def test_generate_gives_the_digits_at_z(ask, url):
    one, several = ask(url, "generate", [0, 1]), ask(url, "generate", np.array([[0, 0], [1, -2]]))
    assert one.pixels.shape == (1, 28, 28)
    assert np.array_equal(several.pixels, to_uint8(paint(several.z)))
    assert several.pixels.dtype == np.uint8
    assert np.array_equal(np.array(several.pictures()[1]), several.pixels[1])
    assert several.model_version == 1
    many = ask(url, "generate", np.zeros((1500, 2)))
    assert len(many) == 1500


def test_samples_are_repeatable_by_their_seed_and_tell_their_z(ask, url):
    first, again, other = (ask(url, "generate", sample=3, seed=seed) for seed in (1, 1, 2))
    assert np.array_equal(first.z, again.z)
    assert not np.array_equal(first.z, other.z)
    assert np.array_equal(first.pixels, to_uint8(paint(first.z)))
    assert len(ask(url, "generate", sample=2)) == 2


def test_numpys_integers_are_integers(ask, url):
    assert np.array_equal(
        ask(url, "generate", sample=np.int64(2), seed=np.uint8(1)).z, ask(url, "generate", sample=2, seed=1).z
    )
    assert ask(url, "manifold", np.int64(3), low=np.float64(0.1)).pixels.shape == (84, 84)


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"z": [0, 0], "sample": 1},
        {"z": [0, 0], "seed": 1},
        {"sample": 0},
        {"sample": True},
        {"sample": 1.5},
        {"sample": 1, "seed": 1.5},
        {"sample": 1, "seed": -1},
    ],
)
def test_generate_takes_z_or_sample(ask, url, wrong):
    with pytest.raises(InvalidInput):
        ask(url, "generate", **wrong)


def test_reconstruct_gives_digits_and_their_loss(ask, url, digit):
    result = ask(url, "reconstruct", [digit, file_of(digit)])
    assert result.pixels.shape == (2, 28, 28)
    assert np.array_equal(result.pixels[0], to_uint8(paint(result.z_mean))[0])
    assert result.loss == pytest.approx(result.xent + result.kl)
    assert len(result) == len(result.pictures()) == 2


def test_manifold_is_the_routes_picture(ask, url):
    drawing = ask(url, "manifold", 3, scale=2)
    assert drawing.png == httpx.get(f"{url}/manifold.png?n=3&scale=2").content
    assert drawing.pixels.shape == (168, 168)
    assert drawing.picture().size == (168, 168)


def test_model_is_the_served_manifest(ask, url):
    assert ask(url, "model") == httpx.get(f"{url}/model").json()


def test_a_service_that_is_ready_is_not_waited_for(ask, url):
    ask(url, "wait_ready", 1)


def test_wait_ready_waits_through_refused_connections_and_503():
    seen = []

    def starting(request):
        seen.append(request.url.path)
        if len(seen) < 3:
            raise httpx.ConnectError("refused")
        return problem(503, "shutting-down") if len(seen) < 5 else httpx.Response(200)

    options, clock = mocked(starting)
    with Client("http://x", **options) as client:
        client.wait_ready(10)
    assert seen == ["/readyz"] * 5
    assert clock.waits == [0.25] * 4


def test_wait_ready_gives_up(ask):
    options, clock = mocked(lambda request: problem(503, "shutting-down"))
    with pytest.raises(NotReady, match=r"not ready after 2 s: It is shutting-down\."):
        ask("http://x", "wait_ready", 2, options=options)
    assert sum(clock.waits) == pytest.approx(2)


@pytest.mark.parametrize("seconds", [0, 0.1, 2, 60])
def test_wait_ready_keeps_its_time_whoever_is_slow(ask, seconds):
    def slow(request):
        allowed = request.extensions["timeout"]
        clock.time += 0.99 * (allowed["connect"] + allowed["read"])  # connecting just in time, the answer just not
        raise httpx.ReadTimeout("slow")

    options, clock = mocked(slow)
    with pytest.raises(NotReady):
        ask("http://x", "wait_ready", seconds, options=options)
    assert seconds <= clock.time - 1000 + 0.25 <= seconds + 0.5


def test_wait_ready_asks_again_where_a_question_was_lost(ask):
    asked = []

    def slow_at_first(request):
        asked.append(request)
        if len(asked) == 1:
            clock.time += request.extensions["timeout"]["read"]
            raise httpx.ReadTimeout("the process that took this question has ended")
        return httpx.Response(200)

    options, clock = mocked(slow_at_first)
    ask("http://x", "wait_ready", 60, options=options)
    assert clock.time < 1010


@pytest.mark.parametrize("status", [429, 503])
def test_a_busy_service_is_asked_again_when_it_said(ask, status):
    answers = iter([problem(status, "overloaded", **{"retry-after": "4"})] * 2 + [manifest_answer()])
    options, clock = mocked(lambda request: next(answers))
    assert ask("http://x", "model", options=options) == {"version": 3}
    assert clock.waits == [4, 4]


def test_a_service_that_stays_busy_is_told_in_the_end(ask):
    options, clock = mocked(lambda request: problem(503, "overloaded", **{"retry-after": "1"}), attempts=3)
    with pytest.raises(Unavailable, match="overloaded") as caught:
        ask("http://x", "model", options=options)
    assert (caught.value.status, caught.value.code, caught.value.title) == (503, "overloaded", "Overloaded")
    assert clock.waits == [1, 1]


def test_a_broken_connection_is_tried_again_with_the_same_body(ask, digit):
    bodies = []

    def flaky(request):
        bodies.append(request.read())
        if len(bodies) == 1:
            raise httpx.ReadError("reset")
        return httpx.Response(200, json={"model_version": 1, "z_mean": [[0, 1]], "z_log_var": [[0, 0]]})

    options, _ = mocked(flaky)
    assert ask("http://x", "encode", digit, options=options).z_mean.tolist() == [[0, 1]]
    assert bodies[0] == bodies[1]


@pytest.mark.parametrize(
    ("raised", "expected", "tries"), [(httpx.ConnectError, ConnectionFailed, 5), (httpx.ReadTimeout, TimedOut, 1)]
)
def test_no_answer_is_told(ask, raised, expected, tries):
    seen = []

    def silent(request):
        seen.append(1)
        raise raised("silence")

    options, _ = mocked(silent)
    with pytest.raises(expected, match="http://x"):
        ask("http://x", "model", options=options)
    assert len(seen) == tries


def test_a_refusal_carries_the_problem_document(ask, url):
    with pytest.raises(Refused) as caught:
        ask(url, "generate", [0, 0, 0])
    error = caught.value
    assert (error.status, error.code, error.title) == (422, "invalid-latent", "Invalid latent vector")
    assert "(n, 2)" in error.detail
    assert error.problem.type == "urn:digit-vae:problem:invalid-latent"
    assert error.problem.request_id
    assert error.detail in str(error)


def test_a_fault_is_told_and_not_tried_again(ask, url):
    with pytest.raises(Fault) as caught:
        ask(url, "generate", [666, 0])
    assert caught.value.status == 500


def test_a_refused_image_among_many_is_found(ask, url, digit):
    images = [file_of(digit)] * 20
    images[13] = b"not a picture"
    with pytest.raises(Refused, match="image 13") as caught:
        ask(url, "encode", images, options={"sending": Sending(most_images=8)})
    assert (caught.value.index, caught.value.code) == (13, "invalid-image")


def test_an_error_does_not_wait_for_what_is_under_way():
    hold = threading.Event()

    def answer(request):
        if npy.loads(request.read()).any():
            hold.wait(20)
        return problem(500, "engine-error")

    levels = np.stack([np.zeros((28, 28), np.uint8), np.ones((28, 28), np.uint8)])
    options, _ = mocked(answer)
    with Client("http://x", **options, sending=Sending(most_images=1)) as client:
        with pytest.raises(Fault):
            client.encode(levels)
        assert not hold.is_set()
        hold.set()


def test_an_interrupted_process_ends_at_once_whatever_its_threads_wait_for():
    code = """
import httpx, numpy as np
from app.client import Client, Sending
def busy(request):
    print("asked", flush=True)
    return httpx.Response(503, headers={"retry-after": "50"})
with Client("http://x", transport=httpx.MockTransport(busy), sending=Sending(most_images=1)) as client:
    client.encode(np.zeros((8, 28, 28), np.uint8))
"""
    with subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as it:
        try:
            assert it.stdout is not None
            assert it.stdout.read(5) == b"asked"
            it.send_signal(signal.SIGINT)
            _, said = it.communicate(timeout=25)  # the threads would wait for twice as long
        finally:
            it.kill()
    assert b"KeyboardInterrupt" in said
    assert it.returncode == -signal.SIGINT


@pytest.mark.parametrize(
    ("method", "given"),
    [
        ("encode", np.zeros((2, 28, 28), np.uint8)),
        ("reconstruct", [b"x", b"y"]),
        ("generate", np.zeros((1500, 2))),
    ],
)
def test_a_service_that_changes_its_version_in_between_is_told(ask, method, given):
    versions = iter([1, 2])

    def answer(request):
        version = next(versions)
        if method == "generate":
            digits = np.zeros((len(npy.loads(request.read())), 2, 2), np.uint8)
            return httpx.Response(200, content=npy.dumps(digits), headers={"x-model-version": str(version)})
        png = base64.b64encode(file_of(np.zeros((2, 2), np.uint8))).decode()
        rows = {name: [[0, 0]] for name in ("z_mean", "z_log_var")} | {name: [0] for name in ("xent", "kl", "loss")}
        return httpx.Response(200, json={"model_version": version, "reconstruction": [png], **rows})

    options, _ = mocked(answer)
    with pytest.raises(VersionChanged, match="1 and 2"):
        ask("http://x", method, given, options=options | {"sending": Sending(most_images=1, in_flight=1)})


def test_a_body_that_is_too_large_is_sent_in_parts(ask):
    def narrow(request):
        n = len(npy.loads(request.read()))
        if n > 3:
            return problem(413, "body-too-large")
        return httpx.Response(200, json={"model_version": 1, "z_mean": [[n, 0]] * n, "z_log_var": [[0, 0]] * n})

    options, _ = mocked(narrow)
    assert len(ask("http://x", "encode", np.zeros((10, 28, 28), np.uint8), options=options)) == 10


def test_a_service_that_takes_fewer_files_is_sent_fewer(ask, store, digit):
    application = create_app(Settings(model_store=store, max_images=3), lambda stored, settings: FakeEngine())
    with serving_in_thread(application) as address:
        assert len(ask(address, "encode", [file_of(digit)] * 10)) == 10


@pytest.mark.parametrize(
    ("method", "arguments"),
    [
        ("encode", (np.zeros((2, 28, 28), np.uint8),)),
        ("reconstruct", (np.zeros((2, 28, 28), np.uint8),)),
        ("generate", ([0, 0],)),
        ("manifold", ()),
        ("model", ()),
    ],
)
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"[]",
        b"{}",
        b"[" * 100_000,
        b'{"model_version": 1, "z_mean": [[0]]}',
        b'{"model_version": 1e999, "version": 1e999, "z_mean": [[0, 0]], "z_log_var": [[0, 0]]}',
        b"\x93NUMPY",
        b"\x93NUMPY\x09\x00" + b"x" * 40,
        b"PK\x03\x04" + b"x" * 40,
    ],
    ids=lambda body: repr(body[:40]),
)
def test_an_answer_of_something_else_is_told(ask, method, arguments, body):
    options, _ = mocked(lambda request: httpx.Response(200, content=body, headers={"x-model-version": "1"}))
    with pytest.raises(BadAnswer, match="Is the address right"):
        ask("http://x", method, *arguments, options=options)


def test_an_error_without_a_problem_document_is_still_typed(ask):
    options, _ = mocked(lambda request: httpx.Response(502, content="<html>"))
    with pytest.raises(Fault) as caught:
        ask("http://x", "model", options=options)
    assert (caught.value.code, caught.value.title) == ("http-502", "Bad Gateway")
    for content in ("{", "[" * 100_000):
        broken = httpx.Response(418, content=content, headers={"content-type": "application/problem+json"})
        options, _ = mocked(lambda request, broken=broken: broken)
        with pytest.raises(Refused, match="http-418"):
            ask("http://x", "model", options=options)


def test_an_answer_that_cannot_be_decoded_is_told(ask):
    options, _ = mocked(lambda request: httpx.Response(200, content=b"x", headers={"content-encoding": "gzip"}))
    with pytest.raises(BadAnswer):
        ask("http://x", "model", options=options)


def test_headers_and_a_path_before_the_service_are_kept(ask):
    seen = []
    options, _ = mocked(lambda request: seen.append(request) or manifest_answer())
    ask("http://x/digits", "model", options=options | {"headers": {"authorization": "Bearer x"}})
    assert (seen[0].url.path, seen[0].headers["authorization"]) == ("/digits/model", "Bearer x")


@pytest.mark.parametrize("wrong", ["", "localhost:8000", "ftp://x", "http://"])
def test_an_address_must_be_one_of_http(wrong):
    for kind in (Client, AsyncClient):
        with pytest.raises(InvalidInput):
            kind(wrong)


def test_calls_share_a_connection(url):
    with Client(url) as client:
        client.model()
        pool = client._http._transport._pool  # type: ignore[attr-defined]
        first = list(pool.connections)
        client.generate([0, 0])
        assert list(pool.connections) == first


def test_both_clients_offer_the_same():
    def surface(kind):
        methods = inspect.getmembers(kind, lambda each: inspect.isfunction(each) and not each.__name__.startswith("_"))
        return {name: list(inspect.signature(method).parameters.values()) for name, method in methods}

    assert surface(Client) == surface(AsyncClient)


def test_every_error_is_in_the_tree_that_the_module_shows_and_exported():
    def tree(kind):
        return [kind, *(each for child in kind.__subclasses__() for each in tree(child))]

    for kind in tree(ClientError):
        assert kind.__name__ in (app.client.errors.__doc__ or "")
        assert kind.__name__ in app.client.__all__
        assert kind.__doc__
