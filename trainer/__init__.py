"""Train an Experiment with TensorFlow and Keras, from a laptop to Google Cloud, and export SavedModels."""

__version__ = "0.1.0"
