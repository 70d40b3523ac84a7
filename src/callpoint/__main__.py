"""``python -m callpoint``: the same as the ``callpoint`` command."""

from callpoint.cli import main

if __name__ == "__main__":
    main()
