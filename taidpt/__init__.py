from . import files     # noqa: F401   first, so that it comes before PyTorch
__version__ = "0.1.0"
