"""`python -m instanter.storefront`: a shop's web server beside an Instanter server."""

import sys

from .serving import main

sys.exit(main())
