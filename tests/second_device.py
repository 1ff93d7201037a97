"""`nbdev_test` with the second device of fake_device.py as the default, and CLIPs there in a
precision, if one is named first:

    python tests/second_device.py --path nbs
    python tests/second_device.py bfloat16 --path nbs/04_scores.ipynb
"""
import sys

import fake_device
from nbdev.test import nbdev_test

from taidpt.encoders import openclip


def load_in(precision: str):
    "Let CLIPs be built in a precision unless another one is asked for"
    build = openclip.build_clip

    def build_clip(source, device='cpu', asked='float32', *options):
        return build(source, device, precision if asked == 'float32' else asked, *options)

    openclip.build_clip = build_clip


if fake_device.set_up is None: sys.exit(print(f'Skipped: {fake_device.TOO_OLD}'))
fake_device.install()
if not sys.argv[1].startswith('-'): load_in(sys.argv.pop(1))
nbdev_test()
