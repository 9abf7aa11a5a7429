"""Every path that may be local or `gs://` goes through here; nothing else uses `os.path` on one."""
