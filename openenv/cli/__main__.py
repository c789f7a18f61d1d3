"""`python -m openenv.cli`."""

from openenv.cli.main import app, main

__all__ = ["app", "main"]

if __name__ == "__main__":
    main()
