"""Each page defines one module, and imports run downward."""
from conftest import docs_module

architecture = docs_module('architecture')


def test_imports():
    wrong = architecture.wrong_imports(architecture.sources('taidpt'))
    assert not wrong, '\n'.join(wrong)


def test_one_page_one_module():
    wrong = architecture.wrong_pages(architecture.pages())
    assert not wrong, '\n'.join(wrong)
