"""Lets ``python -m residua`` do what ``residua`` does."""

from residua.cli import main

if __name__ == "__main__":
    main()
