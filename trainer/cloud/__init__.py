"""Jobs, logs and models on Cloud ML Engine and Vertex AI, and both services on this machine."""
