"""The environments of this checkout, importable as `envs.<name>_env`."""
