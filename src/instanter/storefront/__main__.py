"""`python -m instanter.storefront`: a shop's web server beside an Instanter server."""

import os
import sys

from .serving import main

if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # threads of the HTTP server may still run: an interpreter that ends under them aborts
