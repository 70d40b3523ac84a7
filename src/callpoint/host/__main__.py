"""``python -m callpoint.host``."""

import sys

from callpoint.host.command import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
