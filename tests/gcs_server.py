"""A Google Cloud Storage server for tests and benchmarks: that of `trainer.cloud.emulator`, with its objects in memory.

with serving() as port:
    create_bucket(f"http://127.0.0.1:{port}", "births")
"""

from trainer.cloud.emulator.bucket import create as create_bucket
from trainer.cloud.emulator.bucket import serving


__all__ = ["create_bucket", "serving"]
