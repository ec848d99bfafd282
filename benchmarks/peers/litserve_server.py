"""LitServe with dynamic batching and no waiting; JSON in, as its own parser has it: a PNG comes in base64."""

import base64
import sys

import litserve as ls
from fastapi import Response
from models import Models, levels_of, png_of


class Generate(ls.LitAPI):
    def setup(self, device):
        self.models = Models()

    def decode_request(self, request):
        return request["z"]

    def predict(self, z):
        return list(self.models.generate(z))

    def encode_response(self, output):
        return Response(png_of(output), media_type="image/png")


class Encode(Generate):
    def decode_request(self, request):
        return levels_of(base64.b64decode(request["image"]))

    def predict(self, images):
        return list(zip(*self.models.encode(images), strict=True))

    def encode_response(self, output):
        return {"z_mean": output[0], "z_log_var": output[1]}

    def batch(self, inputs):
        return inputs


if __name__ == "__main__":
    kind = {"generate": Generate, "encode": Encode}[sys.argv[2]]
    api = kind(max_batch_size=64, batch_timeout=0, api_path=f"/{sys.argv[2]}")
    server = ls.LitServer(api, accelerator="cpu", workers_per_device=2, healthcheck_path="/readyz")
    server.run(port=int(sys.argv[1]), log_level="warning", generate_client_file=False, num_api_servers=1)
