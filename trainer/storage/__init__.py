"""Every path that may be local or `gs://` goes through here; nothing above uses `os.path`, `pathlib` or `open` on one."""
