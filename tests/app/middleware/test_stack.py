"""What every answer tells browsers not to do with it."""

import numpy as np
import pytest

from app.imaging.png import encode_png

SHOWN = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
}


@pytest.mark.parametrize(
    "path",
    ["/", "/docs", "/openapi.json", "/model", "/livez", "/metrics", "/manifold.png?n=2", "/explorer/explorer.js",
     "/explorer/points.json", "/nowhere", "/manifold.png?n=0", "/v2", "/v1/models/nothing"],
)  # fmt: skip
async def test_what_a_browser_shows_is_neither_guessed_at_nor_framed(client, path):
    for _ in range(2):  # the second manifold is kept
        response = await client.get(path)
        assert {name: response.headers.get_list(name) for name in SHOWN} == {n: [v] for n, v in SHOWN.items()}
        (policy,) = response.headers.get_list("content-security-policy")
        assert "frame-ancestors 'none'" in policy


@pytest.mark.parametrize("path", ["/encode", "/encode?fit=none", "/generate", "/generate?scale=2", "/reconstruct"])
async def test_what_a_post_answers_is_what_it_says(client, path):
    png = {"content": encode_png(np.eye(28, dtype=np.uint8) * 255), "headers": {"content-type": "image/png"}}
    response = await client.post(path, **({"json": {"z": [0, 0]}} if "generate" in path else png))
    assert response.status_code == 200
    assert response.headers.get_list("x-content-type-options") == ["nosniff"]
