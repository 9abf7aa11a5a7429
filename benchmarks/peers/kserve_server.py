"""Babyweight in KServe's server, as its guide for custom models writes it: python kserve_server.py EXPORT PORT."""

import sys

import tensorflow as tf
from kserve import Model, ModelServer


class Babyweight(Model):
    def __init__(self, directory):
        super().__init__("babyweight")
        self.loaded = tf.saved_model.load(directory)
        self.function = self.loaded.signatures["serving_default"]
        self.dtypes = {name: spec.dtype for name, spec in self.function.structured_input_signature[1].items()}
        self.ready = True

    def predict(self, payload, headers=None, response_headers=None):
        rows = payload["instances"]
        columns = {name: tf.constant([row[name] for row in rows], dtype) for name, dtype in self.dtypes.items()}
        return {"predictions": self.function(**columns)["outputs"].numpy().tolist()}


if __name__ == "__main__":
    ModelServer(http_port=int(sys.argv[2]), enable_grpc=False, workers=1).start([Babyweight(sys.argv[1])])
