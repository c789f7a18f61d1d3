"""The import name of the first releases."""
