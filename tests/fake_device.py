"""A second device for PyTorch without a GPU. After `install()` there is a device 'second', which
`torch.accelerator` finds. The CPU computes for it, so results are the CPU's. Like a GPU it refuses
tensors of the CPU and makes no NumPy arrays; like Apple's it has no float64, and copies nothing
while the program goes on. `counting` counts what waits for it. It takes PyTorch 2.9 or newer."""
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch.utils import backend_registration

NAME = 'second'
TOO_OLD = 'a second device takes PyTorch 2.9 or newer'
set_up = getattr(backend_registration, '_setup_privateuseone_for_python_backend', None)
aten = torch.ops.aten
libraries = []                              # kept: PyTorch unloads what nobody holds
counters = []                               # of the blocks that count now


class SecondTensor(torch.Tensor):
    "A tensor on the second device, around one on the CPU that holds its numbers"
    @staticmethod
    def __new__(cls, numbers: torch.Tensor):
        if numbers.dtype in (torch.float64, torch.complex128):
            raise TypeError('the second device has no float64')
        self = torch.Tensor._make_wrapper_subclass(
            cls, numbers.shape, numbers.stride(), numbers.storage_offset(), dtype=numbers.dtype,
            device=f'{NAME}:0')
        self.numbers = numbers
        return self

    __torch_function__ = torch._C._disabled_torch_function_impl

    @classmethod
    def __torch_dispatch__(cls, op, types, args=(), kwargs=None):
        return computed(op, *args, **kwargs or {})

    @property
    def data(self): return self.detach()
    @data.setter
    def data(self, other):                  # what `Module.to` does to a parameter
        torch._C.TensorBase.data.__set__(self, other)
        self.numbers = other.numbers

    def tolist(self): return self.cpu().tolist()
    def __repr__(self): return f'{self.numbers}, on the second device'


def is_second(x) -> bool: return isinstance(x, SecondTensor)
def unwrapped(x): return x.numbers if is_second(x) else x
def wrapped(x): return SecondTensor(x) if isinstance(x, torch.Tensor) else x


def map_nested(function, x):
    "What a function gives for one thing, or for each in lists of them"
    if type(x) not in (list, tuple): return function(x)
    return type(x)([map_nested(function, one) for one in x])


def computed(op, *args, **kwargs):
    "What an operation gives, computed on the CPU"
    device = kwargs.get('device')
    if device is not None: kwargs['device'] = torch.device('cpu')
    to_cpu = device is not None and device.type == 'cpu'
    if op in COPIES: note_copy(op, args, kwargs, to_cpu)
    else:
        given = []
        map_nested(given.append, [*args, *kwargs.values()])
        note(op, [x for x in given if isinstance(x, torch.Tensor)])
    named = {name: map_nested(unwrapped, x) for name, x in kwargs.items()}
    numbers = op(*map_nested(unwrapped, args), **named)
    if op._schema.is_mutable: return kwargs.get('out', args[0])
    return numbers if to_cpu else map_nested(wrapped, numbers)


def copied(source: torch.Tensor, target: torch.Tensor, non_blocking=False) -> torch.Tensor:
    "What PyTorch calls past all Python for a tensor of a list"
    computed(aten.copy_.default, target, source, non_blocking)
    return target


# a number that the program reads, or a size that depends on numbers: a GPU must be done before
READS = {
    aten._local_scalar_dense.default: 'item', aten.equal.default: 'equal',
    aten.allclose.default: 'allclose', aten.nonzero.default: 'nonzero',
    aten.masked_select.default: 'masked_select', aten._unique2.default: 'unique',
    aten.unique_dim.default: 'unique', aten.unique_consecutive.default: 'unique',
    aten.repeat_interleave.Tensor: 'repeat_interleave', aten.bincount.default: 'bincount',
    aten._linalg_check_errors.default: 'linalg'}
BY_INDEX = {aten.index.Tensor, aten.index_put.default, aten.index_put_.default}
COPIES = {aten._to_copy.default, aten.copy_.default}


def note(op, tensors: list[torch.Tensor]):
    "Count what waits; `RuntimeError` for a tensor of the CPU with more than a number"
    for x in tensors:
        if x.ndim and not is_second(x): raise RuntimeError(
            f'{op}: expected all tensors on one device, found {NAME}:0 and {x.device}')
    kind = READS.get(op)
    if op in BY_INDEX and any(x.dtype == torch.bool for x in tensors[1:]): kind = 'mask'
    if kind: count(kind)


def note_copy(op, args: tuple, kwargs: dict, to_cpu: bool):
    "Count a copy between devices; `RuntimeError` if the program would go on meanwhile"
    if op is aten.copy_.default:
        target, source, *rest = args
        non_blocking = rest[0] if rest else kwargs.get('non_blocking')
        to_cpu = is_second(source) and not is_second(target)
        if not to_cpu and is_second(source): return
    else:
        if not to_cpu: return
        non_blocking = kwargs.get('non_blocking')
    if non_blocking: raise RuntimeError('no non_blocking copies: they may be read too early')
    count('copy to the CPU' if to_cpu else 'copy to the device')


def count(kind: str):
    for counter in counters: counter[kind] += 1


@contextmanager
def counting() -> Iterator[Counter]:
    "Count, by kind, what a block waits for"
    counter = Counter()
    counters.append(counter)
    try: yield counter
    finally: counters.remove(counter)


class Generator(torch.Generator):
    "A generator of the CPU, whatever device is asked for"
    def __new__(cls, device='cpu'): return super().__new__(cls, 'cpu')


class Module(backend_registration._DummyBackendModule if set_up else object):
    "What PyTorch asks a device"
    def get_amp_supported_dtype(self): return [torch.float16, torch.bfloat16]


def install():
    "Make the device known, once; `ImportError` where PyTorch is older"
    if set_up is None: raise ImportError(TOO_OLD)
    if libraries: return
    set_up(NAME, Module())
    every = torch.library.Library('_', 'IMPL')
    every.fallback(computed, 'PrivateUse1')
    every.fallback(torch.library.fallthrough_kernel, 'AutocastPrivateUse1')
    aten_library = torch.library.Library('aten', 'IMPL')
    aten_library.impl('_copy_from', copied, 'PrivateUse1')
    libraries.extend([every, aten_library])
    torch.Generator = Generator
