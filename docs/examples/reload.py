"""Reload an export with TensorFlow 1's loader, as in 2017, and predict the first ten images of an IDX file.

    python docs/examples/reload.py jobs/mnist/export/final/1795404453 data/mnist/t10k-images-idx3-ubyte.gz

The tensors' names are looked up by the keys of the signature.
"""

import sys

import tensorflow as tf

from trainer.inputs.records import read_idx


def main(export_dir: str, images_path: str) -> None:
    """Print the ten labels."""
    images = read_idx(images_path)[:10].reshape(10, 784) / 255
    with tf.compat.v1.Session(graph=tf.Graph()) as session:
        meta_graph = tf.compat.v1.saved_model.loader.load(session, ["serve"], export_dir)
        signature = meta_graph.signature_def["serving_default"]
        inputs, classes = signature.inputs["inputs"].name, signature.outputs["classes"].name
        print(session.run(classes, feed_dict={inputs: images}))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
