"""What takes a while to make and does not change: forked processes find it made."""
from functools import cache

from open_clip import factory
from taidpt.clip import load_clip

factory.SimpleTokenizer = cache(factory.SimpleTokenizer)        # as slow to make as a small CLIP
load_clip(device='cpu')
