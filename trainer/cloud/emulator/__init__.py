"""Cloud ML Engine, Vertex AI and Cloud Logging on this machine: jobs that are submitted really run here.

    python -m trainer.cloud.emulator --port 8600 --state DIR

For development and tests: nobody is asked for credentials, and what is submitted runs as you.
"""
