"""``python -m callpoint.audit.verify``: the verifier as a program."""

import sys

from callpoint.audit.verify.command import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], sys.stdout, sys.stderr))
