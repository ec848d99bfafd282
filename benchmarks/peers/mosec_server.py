"""Mosec: a front in Rust, batches for Python workers. mosec_server.py --port P, with WORKERS=1 or 2."""

import json
import os

from models import Models, levels_of, png_of
from mosec import Server, Worker


class Generate(Worker):
    resp_mime_type = "image/png"

    def __init__(self):
        self.models = Models()

    def deserialize(self, data):
        return json.loads(data)["z"]

    def forward(self, data):
        return list(self.models.generate(data))

    def serialize(self, data):
        return png_of(data)


class Encode(Generate):
    resp_mime_type = "application/json"

    def deserialize(self, data):
        return levels_of(data)

    def forward(self, data):
        return list(zip(*self.models.encode(data), strict=True))

    def serialize(self, data):
        return json.dumps({"z_mean": data[0], "z_log_var": data[1]}).encode()


if __name__ == "__main__":
    kind, route = {"generate": (Generate, "/generate"), "encode": (Encode, "/encode")}[os.environ["ROUTE"]]
    server = Server()
    server.append_worker(kind, num=int(os.environ["WORKERS"]), max_batch_size=64, max_wait_time=1, route=route)
    server.run()
