"""`python -m app.serve`: see app/cli/serve.py."""

import sys

from app.cli.serve import main

if __name__ == "__main__":
    sys.exit(main())
