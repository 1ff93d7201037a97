"`python -m taidpt` is the command `taidpt`."
import sys

from .apps.cli import main

sys.exit(main())
