"""``python -m lazymu`` is the command line."""

from lazymu.cli import main

if __name__ == "__main__":
    main()
