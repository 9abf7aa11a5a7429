"""Babyweight in MLServer, with its adaptive batching: python mlserver_server.py EXPORT PORT."""

import asyncio
import sys

import tensorflow as tf
from mlserver import MLModel, MLServer, ModelSettings, Settings
from mlserver.codecs import NumpyCodec, StringCodec
from mlserver.settings import ModelParameters
from mlserver.types import InferenceResponse


class Babyweight(MLModel):
    async def load(self):
        self.loaded = tf.saved_model.load(self.settings.parameters.uri)
        self.function = self.loaded.signatures["serving_default"]
        self.dtypes = {name: spec.dtype for name, spec in self.function.structured_input_signature[1].items()}
        return True

    async def predict(self, payload):
        columns = {}
        for given in payload.inputs:
            codec = StringCodec if self.dtypes[given.name] == tf.string else NumpyCodec
            values = codec.decode_input(given)
            columns[given.name] = tf.reshape(tf.constant(values, self.dtypes[given.name]), [-1])
        outputs = self.function(**columns)["outputs"].numpy().reshape(-1, 1)
        return InferenceResponse(model_name=self.name, outputs=[NumpyCodec.encode_output("outputs", outputs)])


async def main(export, port):
    settings = Settings(
        http_port=port, grpc_port=port + 1, metrics_port=port + 2, parallel_workers=0, debug=False, host="127.0.0.1"
    )
    server = MLServer(settings)
    model = ModelSettings(
        name="babyweight",
        implementation=Babyweight,
        max_batch_size=int(sys.argv[3]) if len(sys.argv) > 3 else 64,
        max_batch_time=float(sys.argv[4]) if len(sys.argv) > 4 else 0.002,
        parameters=ModelParameters(uri=export),
    )
    await server.start([model])


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))
